"""Meaning: what readings say, pure. No I/O, no asyncio, no wall clock; time is an argument."""
