"""Accounts of what was emitted, out of the archive: reads, adds up, changes nothing."""
