"""Arithmetic whose result does not depend on the order of the sums. See ``docs/arithmetic.md``."""
