"""Tests."""

import os

# Processes that share the tests have a core or less each, and threads of libraries that wait for each other there take
# many times as long for small products. Kernels keep theirs. It has to be said before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
