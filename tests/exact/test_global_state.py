"""The library leaves the process that uses it as it was; a command, which owns its process, does not have to.

python -m pytest tests/exact/test_global_state.py
"""

import os
import subprocess
import sys

# What a process has that a library could change behind its user's back. Functions of the C library that are looked up
# tell of settings that cannot be read back, such as those of malloc.
STATE = """
import os, signal, sys, warnings
looked_up = []
sys.addaudithook(lambda event, args: looked_up.append(args[1]) if event == "ctypes.dlsym" else None)

def state():
    import numba, numpy, torch
    return {
        "environment": dict(os.environ),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), numba.get_num_threads()),
        "torch": (
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(), torch.initial_seed(),
        ),
        "numpy": numpy.geterr(),
        "numba": {name: value for name, value in vars(numba.config).items() if name.isupper()},
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "hooks": (sys.excepthook, sys.displayhook, sys.getrecursionlimit()),
    }

def assert_same(before, after):
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, changed
"""

IMPORTED = """
before = dict(os.environ)
import regrow, regrow.exact
assert dict(os.environ) == before, "environment"
assert not {"torch", "numba"} & set(sys.modules)
"""

USE = """
from regrow import exact
x, w = exact.normal((40, 70), 1, "x"), exact.normal((30, 70), 1, "w")
x.requires_grad_()
exact.linear(x, w).sum().backward()
for name in exact.__all__:
    getattr(exact, name)
"""

AROUND = """
before = state()
{}
assert_same(before, state())
assert "mallopt" not in looked_up, looked_up
"""

NOTICED = """
def noticed(change):
    before = state()
    exec(change)
    try:
        assert_same(before, state())
        assert "mallopt" not in looked_up
    except AssertionError:
        return True
    return False

print([noticed(change) for change in {}])
"""

COMMANDED = """
import os, sys
from regrow.cli import main
sys.argv = ["regrow", "build", "nowhere.toml"]
try:
    main()
except SystemExit:
    print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
"""


def run(program: str, **environment: str) -> str:
    given = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | environment
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_library_changes_nothing() -> None:
    run(STATE + IMPORTED)


def test_using_the_library_changes_nothing() -> None:
    run(STATE + AROUND.format(USE))


def test_a_change_is_noticed() -> None:
    changes = [
        "os.environ['GOMP_SPINCOUNT'] = '5000'",
        "import torch; torch.set_num_threads(torch.get_num_threads() + 1)",
        "warnings.simplefilter('ignore')",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "import ctypes; ctypes.CDLL(None).mallopt",  # the last one, since it stays looked up
    ]
    assert run(STATE + NOTICED.format(changes)) == str([True] * len(changes))


def test_a_command_has_idle_threads_sleep_before_torch_is_loaded() -> None:
    assert run(COMMANDED) == "5000 False"


def test_a_command_heeds_what_the_user_set() -> None:
    assert run(COMMANDED, GOMP_SPINCOUNT="7") == "7 False"
