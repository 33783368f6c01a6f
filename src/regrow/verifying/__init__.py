"""Checking that a release is what its recipe gives."""
