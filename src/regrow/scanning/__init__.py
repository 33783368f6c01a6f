"""Scanning: the checks of a build, over the text of any release, recipe or folder."""
