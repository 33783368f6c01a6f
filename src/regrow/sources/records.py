"""Which files of a release say how it was made: they come along where it is the beginning of another."""

from __future__ import annotations

FOLDER = "lineage"
"""Of a release: there lie those of its parents, each in a folder that is called like the stage that took it."""

FILES = ("**/SHA256SUMS", "**/regrow.toml", "**/regrow.lock", "**/provenance/*.intoto.json")
"""As :mod:`regrow.release.layout`, a room above, calls them; at any depth, since a parent may have parents."""
