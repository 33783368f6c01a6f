"""The version of the arithmetic: part of the key of every stage that computes with it."""

ARITHMETIC = 1
