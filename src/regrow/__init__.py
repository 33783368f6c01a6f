"""A build system for open-source language models: a recipe goes in, a release comes out, the same for everyone."""

import os

__version__ = "0.1.0"

# torch and Numba each keep a pool of OpenMP threads, and a thread that waits by spinning takes the processor from
# the other pool: on two busy cores a small training step was ten times slower. A short spin still spares a switch
# between two kernels that follow each other. OpenMP reads this when torch is loaded; see docs/log.md.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
