"""The command line: one thin module per command, imported when it is needed.

``regrow --help`` must be there at once, so nothing in this package imports more than click at module level; what a
command needs, it imports inside its function.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; the entry point ``regrow``."""
    try:
        read_names_alike()
        from regrow.cli.root import cli

        spin_briefly()
        cli(prog_name="regrow")
    except KeyboardInterrupt:  # before or after a command is there to answer it
        sys.exit(130)


def read_names_alike() -> None:
    """Begin again in Python's UTF-8 mode if it takes names of files for another encoding, as the locale has it.

    On a disk a name is bytes, and a release has the same names wherever it is built.
    """
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def spin_briefly() -> None:
    """Have idle OpenMP threads sleep after a short spin, in this process and those it starts; before torch is loaded.

    torch and Numba each keep a pool of threads, and a thread that waits by spinning takes the processor from the other
    pool: on two busy cores a small training step was ten times slower. A short spin still spares a switch between two
    kernels that follow each other. OpenMP reads the variable once, when it is loaded; what a user set stays. A process
    belongs to its command, so a command asks for this and the library never does. Measured in docs/log.md.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
