"""The decoder: its shape, its computation, its files, and choosing tokens from it."""
