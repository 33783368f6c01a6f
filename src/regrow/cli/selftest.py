"""``regrow selftest``: does this machine compute exactly?"""

from __future__ import annotations

from dataclasses import asdict

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, threads_option


@click.command(epilog=example("  regrow selftest --full"))
@click.option("--full", is_flag=True, help="Compare every kernel of every backend with the definition; takes longer.")
@threads_option
@json_option
@pass_console
def command(console: Console, full: bool) -> int:
    """Test that this machine computes exactly.

    Every way of computing is compared with the definition, bit by bit.

    A way that is not exact on this machine is not used, so a fault costs speed, not correctness; exits with 1 only if
    nothing exact is left or a kernel differs from its definition.
    """
    from regrow.cli.table import table
    from regrow.exact.selftest import self_test, usable

    results = self_test(full=full)
    ok = usable(results)
    if console.json:
        console.document("selftest/1", {"ok": ok, "full": full, "tests": [asdict(result) for result in results]})
        return 0 if ok else 1
    rows = [(one.name, "exact" if one.ok else "not exact", f"{one.seconds:.2f}", one.detail) for one in results]
    rows = [(name, verdict, took, "" if detail == verdict else detail) for name, verdict, took, detail in rows]
    console.result("\n".join(table(("test", "result", "seconds", "detail"), rows, right="seconds")))
    console.verb(
        "Exact" if ok else "Not exact",
        "this machine computes what the definition says" if ok else "see above",
        "green" if ok else "red",
    )
    return 0 if ok else 1
