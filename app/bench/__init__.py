"""What `greenisland bench` measures; `cases` names it all. Importing the package imports none of it."""
