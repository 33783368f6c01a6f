"""An author builds, two strangers rebuild and sign, one lies, and one who rebuilds nothing knows whom to believe."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regrow.building import rebuilds
from regrow.cli.root import cli
from regrow.release import Release
from regrow.release.layout import UNCOVERED
from regrow.store import sums


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)


@contextmanager
def machine_of(name: str, root: Path) -> Iterator[Path]:
    """A machine of somebody's own; what was done on another is not known there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGROW_STORE", str(root / name / "store"))
        yield root / name / "key"


def received(made: Path, place: Path) -> Path:
    return Path(shutil.copytree(made / "release", place))


def test_whom_to_believe(made: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    for name in ("alice", "bob"):
        with machine_of(name, tmp_path) as key:
            release = received(made, tmp_path / name / "release")
            assert run("key", "new", key, "--kind", "p256" if name == "bob" else "ed25519").exit_code == 0
            assert run("attest", release, "--key", key).exit_code == 6  # nothing was seen yet
            assert run("verify", release, "--source", made / "part").exit_code == 0
            assert run("attest", release, "--key", key, "--output", said / f"{name}.json").exit_code == 0
    with machine_of("dave", tmp_path) as key:  # who has less time, and says so
        release = received(made, tmp_path / "dave" / "release")
        assert run("key", "new", key).exit_code == 0
        assert run("verify", release, "--source", made / "part", "--segments", 3).exit_code == 0
        assert run("attest", release, "--key", key, "--method", "full").exit_code == 6
        assert run("attest", release, "--key", key, "--output", said / "dave.json").exit_code == 0
    true = received(made, tmp_path / "release")
    with machine_of("mallory", tmp_path) as key:
        forged = received(made, tmp_path / "mallory" / "release")
        losses = forged / "training" / "losses.jsonl"
        losses.write_text(losses.read_text().replace("4", "1"))
        (forged / "SHA256SUMS").write_text(sums(forged, UNCOVERED))
        rebuilds.note(Release.open(forged).digest, "regrow verify", 9.0)
        assert run("key", "new", key).exit_code == 0
        assert run("attest", forged, "--key", key, "--output", said / "mallory.json").exit_code == 0
    names = ("alice", "bob", "dave", "mallory")
    people = "\n".join(f'[[rebuilder]]\nname = "{name}"\nkey = [{{file = "{name}/key.pub"}}]' for name in names)
    (tmp_path / "trust.toml").write_text(people)
    (tmp_path / "mild.toml").write_text(f"[policy]\nsegments = 3\n{people}")
    with machine_of("carol", tmp_path):
        policy = ("--require", 2, "--trust", tmp_path / "trust.toml", "--attestations", said)
        agreed = run("verify", true, *policy)
        assert agreed.exit_code == 0
        assert "Enough: 2 of the 2 required rebuilders: alice, bob" in agreed.output
        assert "Somebody got another digest from this recipe: mallory" in agreed.output
        told = json.loads(run("verify", true, *policy, "--json").output)
        assert (told["enough"], told["agree"], told["differ"]) == (True, ["alice", "bob"], ["mallory"])
        few = run("verify", true, "--require", 3, *policy[2:])
        assert few.exit_code == 5
        assert "dave: a check of 3 segments or parts of each stage, or more, nonce" in few.output
        assert "which is no full rebuild" in few.output
        mild = run("verify", true, "--require", 3, "--trust", tmp_path / "mild.toml", *policy[4:])
        assert mild.exit_code == 0
        assert "Of these, checked only parts, as the policy lets them: dave" in mild.output
        alone = run("verify", forged, *policy)
        assert alone.exit_code == 5
        assert "another digest from this recipe: alice, bob" in alone.output
        parts = run("verify", forged, "--source", made / "part", "--segments", 2)
        assert parts.exit_code == 3
        assert "does not have the losses.jsonl that the statement about `pretrain` names" in parts.output
        assert "losses.jsonl" in run("explain", true, forged).output
