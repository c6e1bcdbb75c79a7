"""One module a command of `greenisland`."""
