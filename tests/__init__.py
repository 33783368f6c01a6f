"""Tests."""

import os

# Where none is to be written, as in images of containers, each of the hundreds of processes that tests start would make
# the package's bytecode anew. It lies beside kernels, which are kept there too.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
