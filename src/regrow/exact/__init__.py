"""Arithmetic whose result does not depend on the order of the sums. See ``docs/arithmetic.md``."""

import os

# torch and Numba each keep a pool of OpenMP threads, and a thread that waits by spinning takes the processor from
# the other pool: on two busy cores a small training step was nine times slower. Read once, when the pool starts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
