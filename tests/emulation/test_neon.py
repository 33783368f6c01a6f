"""What Arm processors multiply with, run by an emulator: sums are those of integers, with the extensions and without.

A unit's functions are compiled for Arm here, linked with a small program that gives them panels, and run; see
:mod:`arm`. ``aarch64.sh`` runs whole builds there.
"""

from functools import partial

import arm
import numpy as np
import pytest

from regrow.exact.microkernels import units
from regrow.exact.microkernels.neon import NEON, SDOT, SMMLA

arm.required()

# The processor that has just what a unit needs, and one that has all.
PAIRS = [(NEON, "cortex-a53"), (NEON, "max"), (SDOT, "neoverse-n1"), (SDOT, "max"), (SMMLA, "max")]


def write_unit(unit, module):
    """A unit's functions, by the short names that the driver calls."""
    units.write_functions(unit, module)
    for one in (one for one in module.functions if not one.is_declaration):
        one.name = one.name.removeprefix(f"regrow.{unit.name}.")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program that runs a unit, by the unit's name; linked once for each."""
    made = {}

    def found(unit):
        if unit.name not in made:
            made[unit.name] = arm.linked(tmp_path_factory.mktemp(unit.name), "driver.c", partial(write_unit, unit))
        return made[unit.name]

    return found


def panel_of_rows(planes):
    """Planes ``(32, depth)`` in tiles of 16 rows of 64 of the depth, two to a step."""
    return b"".join(p.reshape(2, 16, -1, 64).transpose(2, 0, 1, 3).tobytes() for p in planes)


def panel_of_columns(planes):
    """Planes ``(32, depth)`` in tiles of four of the depth of 16 columns, two to a step; the last plane first."""
    return b"".join(p.reshape(2, 16, -1, 16, 4).transpose(2, 0, 3, 1, 4).tobytes() for p in reversed(planes))


def parts_of(left, right):
    """The parts of a product, as int32 that wrap around."""
    left, right = ([plane.astype(np.int64) for plane in planes] for planes in (left, right))
    parts = [left[0] @ right[0].T]
    parts += [left[i] @ right[1].T + left[i + 1] @ right[0].T for i in range(len(left) - 1)]
    return np.stack(parts).astype(np.int32)


def digits(kind, planes, depth, seed):
    """Digits within -64..64: random ones, or the extremes, of which sums are the largest there are."""
    random = np.random.default_rng(seed)
    if kind == "extreme":
        rows = np.where(random.random((planes, 32, depth)) < 0.5, 64, -64)
        rows[:, :8], rows[:, 8:16] = 64, -64
        rows[:, 16:20, ::2] = 64
    else:
        rows = random.integers(-64, 65, (planes, 32, depth))
    return list(rows.astype(np.int8))


@pytest.mark.parametrize(("unit", "processor"), PAIRS, ids=[f"{unit.name} on {on}" for unit, on in PAIRS])
def test_sums_are_those_of_integers(program, unit, processor):
    cases = [
        (digits(kind, planes, depth, seed), digits(kind, min(planes, 2), depth, seed + 1))
        for seed, (kind, planes, depth) in enumerate(
            (kind, planes, depth) for kind in ("random", "extreme") for planes in (1, 2, 3) for depth in (64, 192, 4096)
        )
    ]
    given = b"".join(
        np.array([len(left), left[0].shape[1] // 64], np.int32).tobytes()
        + panel_of_rows(left)
        + panel_of_columns(right)
        for left, right in cases
    )
    done = arm.run(program(unit), processor, given)
    assert done.returncode == 0, done.stderr
    found = np.frombuffer(done.stdout, np.int32)
    expected = [parts_of(left, right) for left, right in cases]
    assert np.array_equal(found, np.concatenate([part.ravel() for part in expected]))


@pytest.mark.parametrize(
    ("unit", "processor"), [(SDOT, "cortex-a53"), (SMMLA, "neoverse-n1")], ids=lambda x: getattr(x, "name", x)
)
def test_a_processor_without_the_extension_cannot_run_it(program, unit, processor):
    planes = digits("random", 1, 64, 1)
    given = np.array([1, 1], np.int32).tobytes() + panel_of_rows(planes) + panel_of_columns(planes)
    assert arm.cannot_run(arm.run(program(unit), processor, given))
