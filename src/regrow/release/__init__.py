"""Releases: what is in the directory that is shared, and reading one, whoever it comes from."""
