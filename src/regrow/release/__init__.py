"""Releases: what is shared, how it is assembled, and building one from a recipe."""
