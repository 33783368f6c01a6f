"""A build system for open-source language models: a recipe goes in, a release comes out, the same for everyone."""

__version__ = "0.1.0"
