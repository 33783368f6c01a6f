"""The versions of the arithmetic: part of the key of every stage that computes with it."""

ARITHMETIC = 1
"""Of all but what follows: training, and measuring losses."""
INFERENCE = 2
"""Of logits, and so of what models write. Where it changes, the version of every kind that `infers` is raised with it:
locks name that. An operation that is added beside those that are there, as products with codes are, changes none."""
