"""Tracing back: which documents, and which tokens of them, training saw."""
