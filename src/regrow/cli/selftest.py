"""``regrow selftest``: does this machine compute exactly?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, threads_option

if TYPE_CHECKING:
    from regrow.exact.measuring import Speed


@click.command(epilog=example("  regrow selftest --full"))
@click.option("--full", is_flag=True, help="Compare every kernel of every backend with the definition; takes longer.")
@threads_option
@json_option
@pass_console
def command(console: Console, full: bool) -> int:
    """Test that this machine computes exactly.

    Every way of computing is compared with the definition, bit by bit.

    Then it says what this processor has to multiply with, which of it computes, and how long a product takes beside
    torch's of float32. `regrow plan` takes note, until a build has shown how fast this machine is.

    A way that is not exact on this machine is not used, so a fault costs speed, not correctness; exits with 1 only if
    nothing exact is left or a kernel differs from its definition.
    """
    from regrow.building.speed import note_measured
    from regrow.cli.table import table
    from regrow.exact.measuring import speed
    from regrow.exact.selftest import self_test, usable

    results = self_test(full=full)
    ok = usable(results)
    measured = speed(results) if ok else None
    if measured:
        note_measured(measured.products, measured.numbers)
    if console.json:
        tests = [asdict(result) for result in results]
        speeds = {**asdict(measured), "slowness": measured.slowness} if measured else None
        console.document("selftest/1", {"ok": ok, "full": full, "tests": tests, "speed": speeds})
        return 0 if ok else 1
    rows = [(one.name, "exact" if one.ok else "not exact", f"{one.seconds:.2f}", one.detail) for one in results]
    rows = [(name, verdict, took, "" if detail == verdict else detail) for name, verdict, took, detail in rows]
    console.result("\n".join(table(("test", "result", "seconds", "detail"), rows, right="seconds")))
    if measured:
        for line in _lines(measured):
            console.result(line)
    console.verb(
        "Exact" if ok else "Not exact",
        "this machine computes what the definition says" if ok else "see above",
        "green" if ok else "red",
    )
    return 0 if ok else 1


def _lines(measured: Speed) -> Iterator[str]:
    """What multiplies, and how fast."""
    from regrow.cli.table import table

    rows = [
        (one.name, "computes" if one.chosen else "", f"{one.ratio:.2f}" if one.ratio else "", one.missing)
        for one in measured.ways
    ]
    why = "not to be had" if any(one.missing for one in measured.ways) else ""
    yield ""
    yield from table(("products", "", "of float32's time", why), rows, right="of float32's time")
    yield f"training takes about {measured.slowness:.2g} times as long as on two threads of an Intel Xeon with AMX"
    if measured.advice:
        yield f"note: {measured.advice}"
