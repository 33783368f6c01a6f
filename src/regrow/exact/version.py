"""The versions of the arithmetic: part of the key of every stage that computes with it."""

ARITHMETIC = 1
"""Of all but what follows: training, and measuring losses."""
INFERENCE = 2
"""Of logits, and so of what models write. With it, the version of every kind that `infers` is raised: locks name it."""
