"""The versions of the arithmetic: part of the key of every stage that computes with it."""

ARITHMETIC = 1
"""Of all but what follows: training, and measuring losses."""
INFERENCE = 3
"""Of logits, and so of what models write. Where it changes what stages give, the version of every kind that `infers` is
raised with it: locks name that. Version 3 did not: stages read float32 matrices, whose bits are those of version 2."""
