"""Releases: what is in the directory that is shared, and reading one, whoever it comes from."""

from regrow.release.release import Release, is_release

__all__ = ["Release", "is_release"]
