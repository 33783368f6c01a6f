"""Who rebuilt a release signs it, and whoever counts signatures is not deceived."""

import json
import stat
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regrow.attesting.statements import (
    FULL,
    IN_PART,
    Form,
    Method,
    envelopes,
    most_done,
    recipe_of,
    said,
    signed,
    statement,
)
from regrow.attesting.trust import Consent, consent, trusted
from regrow.building import rebuilds
from regrow.cli.root import cli
from regrow.errors import InputError, RecipeError
from regrow.formats import dsse, keys
from regrow.release import Release
from regrow.store import sums

TODAY = date(2026, 11, 30)
RECIPE = 'recipe = 1\n\n[model]\nname = "toy"\nlicence = "CC0-1.0"\n'


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))


def made(folder: Path, text: str = "weights") -> Release:
    folder.mkdir()
    (folder / "regrow.toml").write_text(RECIPE)
    (folder / "model.safetensors").write_text(text)
    (folder / "SHA256SUMS").write_text(sums(folder, ("SHA256SUMS",)))
    return Release.open(folder)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    found = made(tmp_path / "release")
    rebuilds.note(found.digest, "regrow verify", 12.0)
    return found


def key(folder: Path, name: str, kind: str = "ed25519") -> Path:
    keys.new(folder / name, "p256" if kind == "p256" else "ed25519")
    return folder / name


def attest(release: Release, private: Path, form: Form = "provenance", method: Method = FULL) -> Path:
    """What ``regrow attest`` does, into a file beside the release."""
    path = private.with_name(f"{private.name}.{release.path.name}.{method}.json")
    path.write_bytes(dsse.write(signed(statement(release, form, method), keys.private_key(private))))
    return path


def counted(release: Release, folder: Path, *files: Path, trust: str, required: int = 2) -> Consent:
    (folder / "trust.toml").write_text(trust)
    believed = trusted(folder / "trust.toml", TODAY)
    return consent(release.digest, recipe_of(release), list(envelopes(*files)), believed, required)


def rebuilder(name: str, *files: str, more: str = "") -> str:
    return f'[[rebuilder]]\nname = "{name}"\n' + "".join(
        f'[[rebuilder.key]]\nfile = "{file}.pub"\n{more}\n' for file in files
    )


def test_two_strangers_who_rebuilt_it_are_enough(release: Release, tmp_path: Path) -> None:
    files = [attest(release, key(tmp_path, "a")), attest(release, key(tmp_path, "b", "p256"))]
    trust = rebuilder("alice", "a") + rebuilder("bob", "b")
    agreed = counted(release, tmp_path, *files, trust=trust)
    assert (agreed.enough, agreed.agree, agreed.differ, agreed.exit_code) == (True, ("alice", "bob"), (), 0)
    assert not counted(release, tmp_path, files[0], trust=trust).enough


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_the_same_record_gives_the_same_bytes(release: Release, tmp_path: Path, kind: str) -> None:
    private = key(tmp_path, "a", kind)
    assert attest(release, private).read_bytes() == attest(release, private).read_bytes()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(RecipeError, match="there is a file already"):
        keys.new(private, "ed25519")


def test_nothing_is_signed_that_was_not_seen(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not rebuilt"):
        statement(made(tmp_path / "other"))


def test_one_rebuilder_with_two_keys_is_one(release: Release, tmp_path: Path) -> None:
    files = [attest(release, key(tmp_path, name)) for name in "ab"]
    agreed = counted(release, tmp_path, *files, trust=rebuilder("alice", "a", "b"))
    assert (agreed.enough, agreed.agree) == (False, ("alice",))
    with pytest.raises(RecipeError, match="the same key, so they are one") as caught:
        counted(release, tmp_path, trust=rebuilder("alice", "a") + rebuilder("bob", "a"))
    assert "alice and bob" in caught.value.why


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("expires = 2026-11-30", "expired on 2026-11-30"),
        ("revoked = 2026-01-01", "revoked on 2026-01-01"),
    ],
)
def test_keys_that_do_not_count_any_more(release: Release, tmp_path: Path, more: str, said: str) -> None:
    file = attest(release, key(tmp_path, "a"))
    agreed = counted(release, tmp_path, file, trust=rebuilder("alice", "a", more=more), required=1)
    assert not agreed.enough
    assert said in agreed.words[0].why
    later = counted(
        release, tmp_path, file, trust=rebuilder("alice", "a", more=more.replace("2026", "2027")), required=1
    )
    assert later.enough


def test_a_stranger_and_another_digest_do_not_count_and_who_differs_is_named(release: Release, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "other weights")
    rebuilds.note(other.digest, "regrow build", 3.0)
    trust = rebuilder("alice", "a") + rebuilder("mallory", "m")
    files = [
        attest(release, key(tmp_path, "a")),
        attest(other, key(tmp_path, "m")),
        attest(release, key(tmp_path, "x")),
    ]
    agreed = counted(release, tmp_path, *files, trust=trust, required=1)
    assert (agreed.agree, agreed.differ) == (("alice",), ("mallory",))
    assert "mallory" in "\n".join(agreed.lines())
    assert [word.counts for word in agreed.words] == [True, False, False]
    assert agreed.words[2].why == "by nobody who is trusted"


def test_what_was_changed_in_an_envelope_is_not_what_was_signed(release: Release, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "other weights")
    path = attest(release, key(tmp_path, "a"))
    envelope = dsse.read(path.read_bytes())
    forged = envelope.payload.replace(release.digest.encode(), other.digest.encode())
    path.write_bytes(dsse.write(dsse.Envelope(envelope.payload_type, forged, envelope.signatures)))
    agreed = counted(other, tmp_path, path, trust=rebuilder("alice", "a"), required=1)
    assert (agreed.enough, agreed.words[0].rebuilder) == (False, "")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"payload": "AA==", "payloadType": 3}', b"\xff\xfe"])
def test_hostile_envelopes_say_nothing(release: Release, tmp_path: Path, data: bytes) -> None:
    key(tmp_path, "a")
    (tmp_path / "x.json").write_bytes(data)
    agreed = counted(release, tmp_path, tmp_path / "x.json", trust=rebuilder("alice", "a"), required=1)
    assert agreed.words[0].why == "no statement about a rebuild"


def test_the_form_for_evaluations_says_reproduced_and_is_no_rebuild_to_count(release: Release, tmp_path: Path) -> None:
    path = attest(release, key(tmp_path, "a"), "eval-result")
    told = json.loads(dsse.read(path.read_bytes()).payload)
    assert told["predicateType"] == "https://in-toto.io/attestation/eval-result/v0.1"
    assert told["predicate"]["assuranceLevel"] == "reproduced"
    assert told["predicate"]["commitments"]["model"] == {"sha256": release.digest}
    assert said(dsse.read(path.read_bytes())) is None


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_verifiers_of_others_accept_our_envelopes(release: Release, tmp_path: Path, kind: str) -> None:
    """securesystemslib, which in-toto and TUF use."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    private = key(tmp_path, "a", kind)
    public = keys.public_key(private.with_name("a.pub"))
    theirs = SSlibKey.from_crypto(public, keyid=keys.key_id(public))
    envelope = Envelope.from_dict(json.loads(attest(release, private).read_text()))
    assert envelope.verify([theirs], 1)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_the_way_of_a_user(release: Release, tmp_path: Path) -> None:
    """One rebuilds and signs, another trusts, and the files are compared before anybody's word counts."""
    folder, here = str(release.path), str(tmp_path)
    assert run("key", "new", f"{here}/a").exit_code == 0
    assert run("attest", folder, "--key", f"{here}/a").exit_code == 0
    (signed_file,) = (release.path / "attestations").iterdir()
    assert sha256(signed_file.read_bytes())
    (tmp_path / "trust.toml").write_text(rebuilder("alice", "a"))
    agreed = run("verify", folder, "--require", "1", "--trust", f"{here}/trust.toml")
    assert (agreed.exit_code, agreed.output.splitlines()[0]) == (0, "Enough: 1 of the 1 required rebuilders: alice")
    few = run("verify", folder, "--require", "2", "--trust", f"{here}/trust.toml")
    assert few.exit_code == 5
    (release.path / "model.safetensors").write_text("other")
    assert run("verify", folder, "--require", "1", "--trust", f"{here}/trust.toml").exit_code == 3


def test_a_key_that_is_lost_in_one_place_is_lost(release: Release, tmp_path: Path) -> None:
    file = attest(release, key(tmp_path, "a"))
    trust = rebuilder("alice", "a", more="revoked = 2026-01-01") + '[[rebuilder.key]]\nfile = "a.pub"\n'
    agreed = counted(release, tmp_path, file, trust=trust, required=1)
    assert (agreed.enough, agreed.words[0].why) == (False, "alice: the key was revoked on 2026-01-01")


def test_an_envelope_that_two_signed_is_the_word_of_both(release: Release, tmp_path: Path) -> None:
    files = [attest(release, key(tmp_path, name)) for name in "ab"]
    one, other = (dsse.read(file.read_bytes()) for file in files)
    both = dsse.Envelope(one.payload_type, one.payload, (*one.signatures, *other.signatures, *one.signatures))
    (tmp_path / "both.json").write_bytes(dsse.write(both))
    trust = rebuilder("alice", "a") + rebuilder("bob", "b")
    assert counted(release, tmp_path, tmp_path / "both.json", trust=trust).agree == ("alice", "bob")


@pytest.mark.parametrize("other", [["--segments", "3"], ["--keep-going"]])
def test_two_ways_to_check_at_once_are_refused(release: Release, tmp_path: Path, other: list[str]) -> None:
    told = run("verify", str(release.path), "--require", "1", "--trust", str(tmp_path / "t.toml"), *other)
    assert (told.exit_code, "--require" in told.output) == (2, True)


def test_what_signers_say_looks_like_no_line_of_ours(release: Release, tmp_path: Path) -> None:
    told = statement(release)
    external = told["predicate"]["buildDefinition"]["externalParameters"]
    external["method"] = "nothing\nEnough: 9 of the 9 required rebuilders\x1b[2J"
    path = key(tmp_path, "a").with_name("x\nEnough.json")
    path.write_bytes(dsse.write(signed(told, keys.private_key(tmp_path / "a"))))
    agreed = counted(release, tmp_path, path, trust=rebuilder("alice", "a"), required=1)
    lines = "\n".join(agreed.lines()).splitlines()
    assert [line for line in lines if line.startswith("Enough")] == []
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("place", ["/dev/zero", "folder", "large"])
def test_what_a_list_of_trust_names_may_be_anything(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    (tmp_path / "trust.toml").write_text(f'[[rebuilder]]\nname = "x"\nkey = [{{file = "{place}"}}]\n')
    with pytest.raises(RecipeError, match="cannot be used"):
        trusted(tmp_path / "trust.toml", TODAY)


def looked(segments: int = 5, here: bool = True) -> dict[str, object]:
    """What is noted of a check of parts."""
    run = {"stage": "pretrain", "segments": 40, "drawn": segments, "checked": [1, 40], "root": "0" * 64}
    part = {"stage": "clean", "parts": 6, "drawn": min(6, segments), "checked": [1, 6], "root": "1" * 64}
    return {"nonce": "a word", "nonce_drawn_here": here, "same": ["tokenizer"], "runs": [run], "parts": [part]}


@pytest.fixture
def checked(tmp_path: Path) -> Release:
    """A release of which this machine checked parts, and no more."""
    found = made(tmp_path / "checked")
    rebuilds.note(found.digest, "regrow verify --segments", 3.0, (), looked())
    return found


def test_a_check_of_parts_is_signed_as_what_it_was(checked: Release, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not rebuilt"):
        statement(checked)
    assert most_done(checked) == IN_PART
    path = attest(checked, key(tmp_path, "a"), method=IN_PART)
    assert path.read_bytes() == attest(checked, tmp_path / "a", method=IN_PART).read_bytes()
    predicate = json.loads(dsse.read(path.read_bytes()).payload)["predicate"]
    told = predicate["buildDefinition"]["externalParameters"]
    assert (told["method"], told["nonce"], told["runs"][0]["drawn"]) == ("segments", "a word", 5)
    assert predicate["buildDefinition"]["internalParameters"]["environment"]["processor"]
    assert predicate["runDetails"]["byproducts"][0]["annotations"] == {"seconds": 3}
    rebuilds.note(checked.digest, "regrow verify", 9.0)
    assert most_done(checked) == FULL
    other = json.loads(dsse.read(attest(checked, tmp_path / "a", "eval-result", IN_PART).read_bytes()).payload)
    assert (other["predicate"]["assuranceLevel"], other["predicate"]["sampleSize"]) == ("third_party", 10)


def test_nobody_audits_a_check_of_parts_as_a_rebuild(checked: Release) -> None:
    assert rebuilds.read(checked.digest) is None
    assert not rebuilds.is_noted(rebuilds.place(checked.digest, rebuilds.IN_PART), checked.digest)


@pytest.mark.parametrize(
    ("policy", "note", "agree", "why"),
    [
        ("", looked(), (), "which is no full rebuild"),
        ("[policy]\nsegments = 6\n", looked(), (), "and the policy asks for 6"),
        ("[policy]\nsegments = 5\n", looked(), ("alice",), "nonce a word"),
        ("[policy]\nsegments = 5\n", looked(here=False), (), "so that the author could know which"),
        ("[policy]\nsegments = 99\n", looked(40), ("alice",), "all segments and parts"),
    ],
)
def test_what_counts_is_for_whoever_trusts_to_say(
    checked: Release, tmp_path: Path, policy: str, note: dict[str, object], agree: tuple[str, ...], why: str
) -> None:
    rebuilds.note(checked.digest, "regrow verify --segments", 3.0, (), note)
    path = attest(checked, key(tmp_path, "a"), method=IN_PART)
    agreed = counted(checked, tmp_path, path, trust=policy + rebuilder("alice", "a"), required=1)
    assert (agreed.agree, agreed.in_part) == (agree, agree)
    assert why in agreed.words[0].why
    assert ("checked only parts" in "\n".join(agreed.lines())) is bool(agree)


@pytest.mark.parametrize(
    "other", [{"runs": []}, {"runs": [{"drawn": 9, "segments": 3}]}, {"parts": None}, {"nonce": 1}]
)
def test_checks_that_make_no_sense_count_for_nothing(
    checked: Release, tmp_path: Path, other: dict[str, object]
) -> None:
    told = statement(checked, method=IN_PART)
    told["predicate"]["buildDefinition"]["externalParameters"] |= {"parts": [], **other}
    path = key(tmp_path, "a").with_name("x.json")
    path.write_bytes(dsse.write(signed(told, keys.private_key(tmp_path / "a"))))
    trust = "[policy]\nsegments = 1\n" + rebuilder("alice", "a")
    assert counted(checked, tmp_path, path, trust=trust, required=1).enough is (other == {"nonce": 1})


def test_one_envelope_named_twice_is_one_word(release: Release, tmp_path: Path) -> None:
    file = attest(release, key(tmp_path, "a"))
    (tmp_path / "copy.json").write_bytes(file.read_bytes())
    agreed = counted(release, tmp_path, file, tmp_path / "copy.json", file, trust=rebuilder("alice", "a"))
    assert (agreed.enough, agreed.agree) == (False, ("alice",))


@pytest.mark.parametrize(
    "policy", ["[policy]\nsegments = 0\n", "[policy]\nrebuilds = 1\n", "[policy]\nsegments = true\n"]
)
def test_policies_that_make_no_sense(tmp_path: Path, policy: str) -> None:
    key(tmp_path, "a")
    (tmp_path / "trust.toml").write_text(policy + rebuilder("alice", "a"))
    with pytest.raises(RecipeError, match="no list of whom to trust"):
        trusted(tmp_path / "trust.toml", TODAY)


def test_one_nonce_of_two_rebuilders_counts_for_neither(tmp_path: Path) -> None:
    """One of them copied what the other said, and nobody can tell which."""
    checked = made(tmp_path / "checked")
    trust, files = "[policy]\nsegments = 1\n" + rebuilder("alice", "a") + rebuilder("bob", "b"), []
    for name in "ab":
        rebuilds.note(checked.digest, "regrow verify --segments", 3.0, (), looked())
        files.append(attest(checked, key(tmp_path, name), method=IN_PART))
    agreed = counted(checked, tmp_path, *files, trust=trust)
    assert (agreed.agree, agreed.exit_code) == ((), 5)
    assert "which is the nonce of bob, too" in "\n".join(agreed.lines())
    assert counted(checked, tmp_path, files[0], trust=trust, required=1).enough


def test_what_does_not_fit_the_release_does_not_count(tmp_path: Path) -> None:
    checked = made(tmp_path / "checked")
    rebuilds.note(checked.digest, "regrow verify --segments", 3.0, (), looked())
    file = attest(checked, key(tmp_path, "a"), method=IN_PART)
    (tmp_path / "trust.toml").write_text("[policy]\nsegments = 1\n" + rebuilder("alice", "a"))
    command = ["verify", str(checked.path), "--require", "1", "--trust", str(tmp_path / "trust.toml")]
    told = CliRunner().invoke(cli, [*command, "--attestations", str(file)])
    assert told.exit_code == 5
    assert "of `pretrain`, which this release does not have in that way" in told.output
