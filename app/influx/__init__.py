"""The part that writes to InfluxDB: from archive and state to series, and back for the boards."""
