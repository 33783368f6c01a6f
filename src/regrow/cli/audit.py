"""``regrow audit``: what is really open about a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console

if TYPE_CHECKING:
    from regrow.auditing.result import Audit

FORMATS = ("text", "json", "html", "cyclonedx", "spdx", "croissant", "eu-summary", "mot", "statement")


def _parents(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"`{value}` is not ID=PATH, e.g. hf:org/base=models/base")
    found = {name: Path(path) for name, path in (value.split("=", 1) for value in values)}
    for path in found.values():
        if not path.exists():
            raise click.BadParameter(f"there is no `{path}`")
    return found


def _form(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    context.ensure_object(Console).json |= value == "json"
    return value


@click.command(
    epilog=example(
        "  regrow audit build/bard\n"
        "  regrow audit model.gguf --format html --output audit.html\n"
        "  regrow audit my-finetune --parent hf:org/base=models/base --policy policy.toml\n"
        "  regrow audit build/bard --explain osaid-1.0/code/training"
    )
)
@click.argument("target", metavar="PATH-OR-ID", required=False)
@click.option("--claims", type=click.Path(path_type=Path), metavar="FILE", help="What the maker says elsewhere.")
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="What you demand; exit 5 if not met.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    callback=_parents,
    metavar="ID=PATH",
    help="Where an ancestor lies on this machine.",
)
@click.option(
    "--online/--offline",
    "network",
    default=None,
    help="Look up links and ancestors, or leave the network alone. By default only for an hf: id.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), is_eager=True, callback=_form, help="By default text.")
@click.option("--full", is_flag=True, help="All of it as text: every rule, duty, finding and claim.")
@json_option
@click.option("--output", "-o", type=Place(file=True), metavar="FILE", help="By default stdout.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sign the statement with this private key (PEM; Ed25519 or P-256).",
)
@click.option(
    "--explain",
    metavar="NAME",
    help="Show a part (data), a freedom (use), a definition (osaid-1.0) or a rule: what it asks and how it was judged.",
)
@pass_console
def command(
    console: Console,
    target: str | None,
    claims: Path | None,
    policy: Path | None,
    parents: dict[str, Path],
    network: bool | None,
    form: str | None,
    full: bool,
    output: Path | None,
    key: Path | None,
    explain: str | None,
) -> int:
    """Say what is really open about a model, with evidence for every word.

    PATH-OR-ID is one of our releases, a Hugging Face folder, hf:organisation/name@revision or the address of its
    page, a GGUF or safetensors file, a folder of source code, or a Model Openness Tool YAML file. Nothing of it is
    run or unpickled.

    Each answer is yes, no or not shown: what nobody could see is never taken for a no, and never for a yes.
    """
    if console.json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} are two formats\nhint: leave one of them")
    if full and (console.json or explain is not None or form not in (None, "text")):
        raise click.UsageError("--full is for text\nhint: leave it out; every other format has all of it")
    if explain is not None and (console.json or form not in (None, "text")):
        raise click.UsageError("--explain shows text\nhint: leave the format out; that of json has every verdict")
    if explain is not None and target is None:
        from regrow.auditing.outputs import explanation

        if idle := _given(claims=claims, policy=policy, parent=parents, output=output, key=key):
            raise click.UsageError(f"{idle} is about a model\nhint: name one, or leave it out")
        console.result(explanation(explain), end="")
        return 0
    if target is None:
        raise click.UsageError("Missing argument 'PATH-OR-ID'.\nhint: `regrow audit build/bard`")
    if key is not None and form != "statement":
        raise click.UsageError("--key signs a statement\nhint: add --format statement")
    from regrow.auditing.audit import Options, audit
    from regrow.auditing.collectors.targets import target as named

    target = named(target)
    online = target.startswith("hf:") if network is None else network
    found = audit(target, Options(_today(), online, parents, claims, policy))
    _require_ancestors(found, parents)
    if explain is not None:
        from regrow.auditing.outputs import explanation

        text = explanation(explain, found)
    else:
        text = writer("json" if console.json else "full" if full else form or "text", Path(target), key)(found)
    _put(console, text, output)
    return _policy_code(console, found)


def _given(**options: object) -> str:
    """The first of the options that has a value; empty if none has."""
    return next((f"--{name}" for name, value in options.items() if value), "")


def _require_ancestors(found: Audit, parents: dict[str, Path]) -> None:
    """Raise if a path was given for what is no ancestor: the verdict would be without what the user thinks is in it."""
    from regrow.auditing.homes import without_homes
    from regrow.auditing.names import comparable

    ancestors = [node.id for node in found.lineage.nodes[1:]]
    named = {comparable(one) for one in ancestors}
    for name in parents:
        if comparable(without_homes(name)) not in named:
            there = f"its ancestors are {', '.join(ancestors)}" if ancestors else "leave --parent out"
            raise click.UsageError(f"{found.name} names no ancestor `{name}`\nhint: {there}")


def _today() -> str:
    """The day of reading; ``SOURCE_DATE_EPOCH`` sets it, so that an audit can be made again to the same bytes."""
    import datetime

    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.datetime.now(datetime.UTC).date().isoformat()
    try:
        return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        from regrow.errors import RecipeError

        hint = "write seconds since 1970, or unset it"
        raise RecipeError(f"`{epoch}` is no time", where="SOURCE_DATE_EPOCH", hint=hint) from error


def writer(form: str, path: Path, key: Path | None) -> Callable[[Audit], str]:
    """What writes an audit in a format.

    Args:
        form: one of ``FORMATS``, or ``full`` for all of the text.
        path: what was audited.
        key: to sign a statement with.
    """
    from regrow.auditing import outputs

    def release(audit: Audit) -> Path | None:
        return path if audit.kind == "release" and path.is_dir() else None

    def statement(audit: Audit) -> dict[str, Any]:
        found = outputs.statement(audit, path)
        return found if key is None else outputs.sign(found, key)

    documents: dict[str, Callable[[Audit], dict[str, Any]]] = {
        "json": outputs.json,
        "cyclonedx": lambda audit: outputs.cyclonedx(audit, release(audit)),
        "spdx": lambda audit: outputs.spdx(audit, release(audit)),
        "croissant": lambda audit: outputs.croissant(audit, release(audit)),
        "statement": statement,
    }
    if form in documents:
        return lambda audit: outputs.to_text(documents[form](audit))
    texts: dict[str, Callable[[Audit], str]] = {
        "text": outputs.text,
        "full": outputs.full,
        "html": outputs.html,
        "eu-summary": lambda audit: outputs.eu_summary(audit, release(audit)),
        "mot": outputs.mot,
    }
    return texts[form]


def _put(console: Console, text: str, output: Path | None) -> None:
    if output is None:
        console.result(text, end="")
        return
    from regrow.building.place import explained
    from regrow.store import write_atomic

    with explained(output):
        write_atomic(output, text)
    if console.json:
        console.document("audit-written/1", {"audit": str(output)})
    else:
        console.result(str(output))


def _policy_code(console: Console, found: Audit) -> int:
    """0, or 5 with a word to people about the first line of the policy that does not hold."""
    from regrow.auditing.result import Outcome

    broken = [check for check in found.policy if check.outcome is not Outcome.MET]
    if not broken:
        return 0
    console.verb("Not met", f"{len(broken)} of {len(found.policy)} lines of the policy", "red")
    for check in broken:
        console.say(f"             {check.text}: {check.reason}")
    return 5
