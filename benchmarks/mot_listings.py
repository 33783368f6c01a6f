"""Whether the audit's class of a listing of the Model Openness Tool is the class that the tool gives it.

    python -m benchmarks.mot_listings LISTINGS [ANSWERS]

LISTINGS is a folder with the tool's files (``models`` or ``Test_Data`` of its repository). ANSWERS says what the tool
makes of them, as JSON: ``{"NAME.yml": 0 to 3, ...}``, 0 for no class. Without it, a file whose name ends like those of
the tool's test data, ``..._C1_33%-C2_60%-C3_100%_...``, says so itself. Prints how many classes agree, in which files
they differ, and how often a listing's origin was taken for a model.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path

from regrow.auditing.audit import Options, audit
from regrow.auditing.facts import ParentFact
from regrow.auditing.result import Audit

CLASSES = {"I": 1, "II": 2, "III": 3, None: 0}
PROGRESS = re.compile(r"_C1_(?P<I>\d+)%-C2_(?P<II>\d+)%-C3_(?P<III>\d+)%_")


def named(path: Path) -> int | None:
    """The class in the name of a test file: a class counts only where those below it are complete."""
    if not (found := PROGRESS.search(path.name)):
        return None
    reached = 0
    for level in ("III", "II", "I"):
        if found[level] != "100":
            break
        reached = CLASSES[level]
    return reached


def as_listed(path: Path) -> Audit:
    """The audit of a listing, which must not take anything for delivered."""
    found = audit(str(path), Options("2026-01-01"))
    delivered = next(one for one in found.definitions if one.id == "mof")
    assert found.mof_class_basis == "listed", path
    assert not delivered.level, path
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listings", type=Path)
    parser.add_argument("answers", type=Path, nargs="?")
    arguments = parser.parse_args()
    answers: Mapping[str, int] = json.loads(arguments.answers.read_text("utf-8")) if arguments.answers else {}
    paths = sorted(arguments.listings.glob("*.yml"))
    audits = {path: as_listed(path) for path in paths}
    theirs = {path: answer for path in paths if (answer := answers.get(path.name, named(path))) is not None}
    differing = [path for path, answer in theirs.items() if CLASSES[audits[path].mof_class] != answer]
    print(f"{len(theirs) - len(differing)} of {len(theirs)} classes agree, of {len(paths)} listings")
    for path in differing:
        print(f"  {path.name}: {CLASSES[audits[path].mof_class]} here, {theirs[path]} there")
    parents = [fact for one in audits.values() for fact in one.lineage.nodes[0].collected.of(ParentFact)]
    unclear = [finding for one in audits.values() for finding in one.findings if finding.id == "origin-unclear"]
    print(f"{len(parents)} origins taken for a model, {len(unclear)} not")


if __name__ == "__main__":
    main()
