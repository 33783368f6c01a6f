"""Serving a release over HTTP: OpenAI's interface, and whatever else is mounted beside it."""
