"""A site's files: read, checked, kept beside what they decided."""
