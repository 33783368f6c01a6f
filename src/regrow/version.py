"""The version of the program, in a module that imports nothing, for whoever writes it down."""

__version__ = "0.1.0"
