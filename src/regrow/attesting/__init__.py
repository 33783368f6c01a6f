"""Attesting: who rebuilt a release signs that, and whoever trusts enough of them need not rebuild it."""
