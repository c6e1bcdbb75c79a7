"""Routes tried out: who would be told of an alert that is made up, and tests that say who is to be."""
