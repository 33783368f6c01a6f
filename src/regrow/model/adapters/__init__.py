"""Adapters: what is learned beside a model and kept apart from it, in the files of PEFT."""
