"""Contamination: which items of benchmarks stand in a corpus, whole or in part."""
