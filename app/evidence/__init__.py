"""Is what is kept still what happened: `verify`, anchors, backups."""
