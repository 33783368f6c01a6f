"""``regrow verify``: build a release again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    Place,
    example,
    json_option,
    offline_option,
    pass_console,
    readable,
    recompute_option,
    shard_option,
    threads_option,
    who_option,
    workers_option,
)

if TYPE_CHECKING:
    from regrow.attesting.keyless import Account
    from regrow.engine import Choice
    from regrow.verifying.spot import Wanted


@click.command(epilog=example("  regrow verify build/bard\n  regrow verify build/tiny --source examples/tiny"))
@click.argument("release", metavar="RELEASE")
@click.option(
    "--source",
    "sources",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder in which the `file:` sources of the recipe are.",
)
@click.option(
    "--store",
    type=Place(),
    metavar="DIR",
    help="Build in this store and believe what is in it; by default in an empty one.",
)
@click.option(
    "--segments",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each training run repeat only N segments, and of a corpus in parts make N again: the first, the last, and "
    "others that the nonce draws.",
)
@click.option("--nonce", metavar="WORD", help="With --segments: what draws them; by default nobody can foresee it.")
@click.option(
    "--kept",
    metavar="PLACE",
    help="With --segments: a folder or address where the author keeps states of the runs and parts of the corpus, "
    "beside the release and what its recipe says.",
)
@click.option(
    "--require",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rebuild nothing: ask that N independent rebuilders of --trust have signed that they did.",
)
@click.option(
    "--trust", type=click.Path(path_type=Path), metavar="FILE", help="With --require: whose signatures count."
)
@click.option(
    "--attestations",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PLACE",
    help="With --require: more envelopes, beside those in the release.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rebuild nothing: compare the files, of a release or any folder, with this bundle of OpenSSF model signing.",
)
@click.option(
    "--key", type=click.Path(path_type=Path), metavar="FILE", help="With --bundle: the public key of whoever signed."
)
@click.option(
    "--identity", metavar="NAME", help="With --bundle, instead of a key: the account of whoever signed by Sigstore."
)
@click.option("--issuer", metavar="URL", help="With --identity: who vouches for the account.")
@click.option(
    "--parent",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Of a GGUF file, anybody's: quantise this model again, and compare tensor by tensor.",
)
@click.option("--keep-going", is_flag=True, help="Build all stages, and name every one that differs.")
@click.option("--yes", "confirmed", is_flag=True, help="Begin even if it takes days, or more than this machine has.")
@workers_option
@shard_option
@recompute_option
@offline_option
@who_option
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    release: str,
    sources: Path | None,
    store: Path | None,
    segments: int | None,
    nonce: str | None,
    kept: str | None,
    require: int | None,
    trust: Path | None,
    attestations: tuple[Path, ...],
    bundle: Path | None,
    key: Path | None,
    identity: str | None,
    issuer: str | None,
    parent: Path | None,
    keep_going: bool,
    confirmed: bool,
    workers: int | None,
    shard: bool,
    recompute: bool,
    offline: bool,
    who: Choice,
) -> int:
    """Build a release again and compare.

    RELEASE is its folder, also in the cache of a model hub; an archive of it; hf:owner/name@COMMIT; or the address of a
    folder or an archive, https://... or one that fsspec knows. What lies elsewhere is fetched as far as it is needed.

    It is built from its own recipe and lock, and every stage is compared. With --segments all is built again but
    training, of which some parts are: the release committed to its states before anybody asked for them, and each part
    has to lead from one to the next. Where the author keeps what the stages of the corpus gave in parts, some of these
    are made again, too. That takes less time and is no proof; it says how likely a lie is passed over.

    With --require nothing is built, and the files are compared with what others have signed (exit code 5 if they are
    too few). With --bundle the files are compared with what somebody signed, with a key, or by Sigstore with an
    account, in a release or elsewhere.
    With --parent RELEASE is a file, and the parent is quantised again.

    --workers, --shard and --recompute are those of `regrow build`; what comes out is the same with them.

    What would take more than a day, or more memory or disk than this machine has, is begun only with --yes.

    Exits with 0 if all is the same, with 3 if something differs, naming the first stage that does, and with 4 if two
    runs on this machine differ, so that nothing can be said.
    """
    if segments is not None and (require is not None or keep_going):
        other = "--keep-going" if require is None else "--require"
        raise click.UsageError(f"--segments and {other} are two ways to check\nhint: one after the other")
    if require is not None and keep_going:
        raise click.UsageError("with --require nothing is built\nhint: leave --keep-going out")
    if segments is None and (nonce or kept):
        raise click.UsageError("--nonce and --kept are about a check of parts\nhint: add --segments, or leave it out")
    if (require is None) is not (trust is None) or (attestations and require is None):
        raise click.UsageError("--require and --trust belong together\nhint: --require 2 --trust rebuilders.toml")
    if (bundle is None) is not (key is None and identity is None) or (bundle and (require or segments)):
        raise click.UsageError("--bundle and --key go together, and alone\nhint: --bundle model.sig --key alice.pub")
    if (identity is None) is not (issuer is None) or (identity and key):
        raise click.UsageError("--identity and --issuer go together\nhint: leave --key out; the issuer is an address")
    if parent is not None and (bundle or require or segments):
        raise click.UsageError("--parent is about one file, and nothing else\nhint: model.gguf --parent MODEL")
    if (require or bundle or parent) and (workers or shard or recompute):
        raise click.UsageError("nothing is trained here\nhint: leave --workers, --shard and --recompute out")
    if parent is not None:
        return _quantised(console, Path(release), parent)
    if bundle is not None:
        from regrow.attesting.keyless import Account

        signer = Account(identity or "", issuer or "", offline) if key is None else key
        return _signed(console, release, bundle, signer, offline)
    from regrow.cli.sharing import follow, join, launch, leading, named
    from regrow.release.layout import STATES
    from regrow.verifying.fetched import here, is_elsewhere
    from regrow.verifying.spot import Wanted

    environment = named(workers, shard=shard)
    if workers is not None and workers > 1 and environment is None:
        return launch(console, workers)
    is_here = is_elsewhere(release) or Path(release).exists()
    rendezvous = join(environment, eligible=is_here) if environment else None
    if rendezvous is not None and rendezvous.rank > 0:
        return follow(rendezvous)
    if is_elsewhere(release):
        console.verb("Fetching", release)
    left_out = "" if segments else STATES
    with (
        leading(rendezvous, shard=shard) as group,
        here(release, needed=lambda path: path.partition("/")[0] != left_out, offline=offline) as folder,
    ):
        if require is not None and trust is not None:
            return _trusted(console, folder, require, trust, attestations)
        if segments is not None:
            wanted = Wanted(segments, nonce or "", kept or "", sources, offline, confirmed, group, recompute)
            return _in_part(console, release, folder, wanted, store, who)
        how = {"store": store, "sources": sources, "offline": offline, "who": who}
        lent = {"workers": group, "recompute": recompute}
        return _wholly(console, release, folder, **how, **lent, confirmed=confirmed, keep_going=keep_going)


def _in_part(console: Console, said: str, folder: Path, wanted: Wanted, store: Path | None, who: Choice) -> int:
    """Build again all but training, and parts of that."""
    from dataclasses import replace

    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.train.memory import keep_freed_memory
    from regrow.verifying.spot import spot_check

    keep_freed_memory()
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        found = spot_check(folder, wanted, store=store, listener=listener, stop=stop, who=who)
    found = replace(found, release=said)
    if console.json:
        console.document("verify-segments/1", found.to_json())
    else:
        console.result("\n".join(found.lines()))
    return found.exit_code


def _wholly(
    console: Console,
    said: str,
    folder: Path,
    **how: Any,
) -> int:
    """Build again all of it, as :func:`regrow.verifying.rebuild.rebuild` is told."""
    from dataclasses import replace

    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.train.memory import keep_freed_memory
    from regrow.verifying.rebuild import rebuild

    keep_freed_memory()
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        report = rebuild(folder, listener=listener, stop=stop, **how)
    report = replace(report, release=said)
    if console.json:
        document = report.to_json()
        console.document(document.pop("schema").removeprefix("regrow/"), document)
    else:
        console.result("\n".join(report.lines()))
    return report.exit_code


def _signed(console: Console, said: str, bundle: Path, signer: Path | Account, offline: bool) -> int:
    """Compare files with what somebody signed."""
    from regrow.attesting.bundles import check_bundle, signed_in
    from regrow.verifying.fetched import here

    manifest = signed_in(bundle, signer)
    whole = manifest.hash == "sha256" and not manifest.shard
    promised = {path: pieces[0].digest if whole else "" for path, pieces in manifest.files.items()}
    with here(said, signed=promised, offline=offline) as place:
        found = check_bundle(place, bundle, signer)
    if console.json:
        console.document("verify-bundle/1", found.to_json())
    else:
        console.result("\n".join(found.lines()))
    return found.exit_code


def _quantised(console: Console, file: Path, parent: Path) -> int:
    """Quantise a parent again, and compare."""
    from regrow.verifying.quantised import compare_with_parent

    found = compare_with_parent(file, parent)
    if console.json:
        console.document("verify-parent/1", found.to_json())
    else:
        console.result("\n".join(found.lines()))
    return found.exit_code


def _trusted(console: Console, release: Path, required: int, trust: Path, more: tuple[Path, ...]) -> int:
    """Count those who signed that they rebuilt a release, whose files are compared with its list first."""
    from dataclasses import asdict
    from datetime import UTC, datetime
    from functools import partial

    from regrow.attesting.statements import envelopes, recipe_of
    from regrow.attesting.trust import consent, trusted
    from regrow.release.layout import ATTESTATIONS
    from regrow.verifying.files import require_whole
    from regrow.verifying.told import misfit

    there = readable(release)
    believed = trusted(trust, datetime.now(UTC).date())
    files = require_whole(there)
    own = release / ATTESTATIONS
    found = list(envelopes(*((own,) if own.is_dir() else ()), *more))
    agreed = consent(files.digest, recipe_of(there), found, believed, required, partial(misfit, there))
    if console.json:
        console.document("verify-trust/1", {"enough": agreed.enough, **asdict(agreed)})
    else:
        console.result("\n".join(agreed.lines()))
    return agreed.exit_code
