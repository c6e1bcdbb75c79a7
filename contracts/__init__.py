"""What crosses between rooms: schemas, reasons, the registry, ports. Imports nothing of ours."""
