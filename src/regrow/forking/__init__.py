"""Forks: a folder in which one can go on without the owner of a release."""
