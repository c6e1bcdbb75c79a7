"""Windows: what samples add up to between ticks, kept in whole numbers; `advance` is the way in."""
