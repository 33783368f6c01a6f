"""Scores that somebody signs. python -m pytest tests/evaluating/test_signed.py"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from regrow.attesting import statements
from regrow.attesting.statements import EVALUATION, STATEMENT, said, scored
from regrow.building import rebuilds
from regrow.cli.root import cli
from regrow.formats import dsse, keys
from regrow.release import Release
from regrow.testing.evaluation import Options, evaluate

from .conftest import seal


def test_what_a_release_keeps_and_came_out_again_is_reproduced(kept: Path) -> None:
    scores = evaluate(kept, ("agreement",), Options())
    told = scored(Release.open(kept), scores)
    assert (told["_type"], told["predicateType"]) == (STATEMENT, EVALUATION)
    assert told["predicate"]["assuranceLevel"] == "reproduced"
    assert told["predicate"]["sampleSize"] == 40
    assert told["predicate"]["commitments"]["scores"] == {"sha256": scores.digest}
    claims = {one["metric"]: one["threshold"] for one in told["predicate"]["claims"]}
    assert claims == {f"agreement {one.name}": repr(one.value) for one in scores.scores[0].measures}


def test_what_it_does_not_keep_is_ones_own_word(kept: Path) -> None:
    for names, options in ((("knowledge",), Options(limit=2)), (("agreement",), Options(limit=2))):
        told = scored(Release.open(kept), evaluate(kept, names, options))
        assert told["predicate"]["assuranceLevel"] == "self_attested"


def test_a_rebuild_says_the_scores_too(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"when": "2026-11-30T00:00:00+00:00", "how": "verify", "regrow": "0", "seconds": 1}
    monkeypatch.setattr(rebuilds, "read", lambda *_: record)
    said = statements.statement(Release.open(kept), "eval-result")["predicate"]
    (score, other) = json.loads((kept / "scores" / "small.json").read_text())["scores"]
    assert said["sampleSize"] == 1 + score["items"] + other["items"]
    assert [one["metric"] for one in said["claims"]] == [
        "release digest equals",
        "agreement accuracy",
        "agreement accuracy_per_byte",
        "sequences exact_match",
    ]


def test_the_command_signs_what_it_has_just_seen(kept: Path, tmp_path: Path) -> None:
    folder, key = seal(Path(shutil.copytree(kept, tmp_path / "release"))), tmp_path / "alice"
    words = ["eval", str(folder), "--tasks", "sequences", "--key", str(key)]
    assert CliRunner().invoke(cli, words).exit_code == 2
    assert not (folder / "attestations").exists()
    public = keys.new(key, "ed25519")
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    (path,) = (folder / "attestations").iterdir()
    envelope = dsse.read(path.read_bytes())
    (signature,) = envelope.signatures
    assert keys.signed_by(public, signature.value, envelope.signed)
    assert json.loads(envelope.payload)["predicate"]["assuranceLevel"] == "reproduced"
    assert said(envelope) is None  # it is no rebuild, and never counted as one
