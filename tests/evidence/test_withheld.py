"""python -m pytest tests/evidence/test_withheld.py: texts that may not be shared, from the recipe to a stranger."""

import hashlib
import json
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from regrow.building.build import Options, build
from regrow.building.locking import Mode, locked_recipe
from regrow.building.preparing import relock
from regrow.cli.root import cli
from regrow.corpus.documents import identify, locator, stream
from regrow.corpus.normalise import normalise
from regrow.corpus.withheld import Hidden
from regrow.engine import evaluate
from regrow.errors import DifferentError, InputError, RecipeError, StageError
from regrow.evidence.commitment import Commitment, Opening
from regrow.formats import parquet
from regrow.recipe.pin import WITHHELD, Pins
from regrow.release import Release
from regrow.release.commitments import commitments, rows
from regrow.release.files import DamagedError
from regrow.stages import documents
from regrow.store import Store, sums
from regrow.tracing.openings import check, opening, read
from regrow.tracing.steps import pieces
from regrow.verifying.rebuild import rebuild
from regrow.verifying.report import Verdict, VerifyReport

SOURCE = """[[source]]
name = "{name}"
fetch = "file:{name}"
licence = "{licence}"
availability = "{availability}"
"""
REST = """[corpus]
min_characters = 5
near_duplicates = 0
validation = 0.3
[tokenizer]
vocabulary = 280
[architecture]
layers = 1
width = 32
heads = 2
context = 16
[train]
tokens = 256
micro_batch = 2
micro_batches_per_step = 2
learning_rate = 1e-3
[evaluate]
prompts = ["The"]
sample_tokens = 4
[gguf]
"""
HEAD = 'recipe = 1\n[model]\nname = "kept"\nlicence = "Apache-2.0"\n'
SIGNED = (
    "Copyright 1923 Otto Lilienthal-Zwick. All rights reserved. Write to otto@zwick-example.org, and to nobody else, "
    "before the year is over."
)
"""What checks of rights and of personal data find."""

TEXTS = {
    "play": {f"act-{n}.txt": f"Act {n}: the wind blows over the heath and it rains.\n" for n in range(9)},
    "letters": {f"to-anna-{n}.txt": f"Dear Anna, the key is under pot {n}. {SIGNED}\n" for n in range(7)},
    "diaries": {"1923.txt": "Today I saw the comet, and told nobody.\n", "1924.txt": "PIN 4711\n"},
}
SECRET = ("letters", "diaries")


def quiet(event: object) -> None:
    pass


def write(folder: Path, texts: dict[str, dict[str, str]] = TEXTS, secret: tuple[str, ...] = SECRET) -> Path:
    """A recipe, and its texts beside it."""
    said = []
    for source, files in texts.items():
        (folder / source).mkdir(parents=True)
        for name, text in files.items():
            (folder / source / name).write_text(text)
        terms = ("LicenseRef-Agreement", "unshareable") if source in secret else ("CC0-1.0", "open")
        said.append(SOURCE.format(name=source, licence=terms[0], availability=terms[1]))
    (folder / "regrow.toml").write_text(HEAD + "".join(said) + REST)
    return folder


def made(folder: Path, store: Path, name: str = "release", **options: Any) -> Path:
    return build(
        folder, Options(folder.parent / name, store, **options), listener=quiet, stop=threading.Event()
    ).release


def verify(release: Path, **options: Any) -> VerifyReport:
    return rebuild(release, listener=quiet, stop=threading.Event(), **options)


def lock(folder: Path, mode: Mode = Mode.RENEW) -> Any:
    return locked_recipe(folder, mode, listener=quiet)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "store"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, Path]:
    """A recipe with texts of two sources that may not be shared, and its release."""
    folder = write(tmp_path_factory.mktemp("kept") / "recipe")
    return folder, made(folder, store)


@pytest.fixture
def release(built: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the release, to be changed."""
    return Path(shutil.copytree(built[1], tmp_path / "copy"))


@pytest.fixture
def recipe(built: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the recipe with its texts and secrets, to be changed."""
    return Path(shutil.copytree(built[0], tmp_path / "recipe"))


@pytest.fixture
def open_texts(built: tuple[Path, Path], tmp_path: Path) -> Path:
    """A folder with the texts that anyone can have."""
    shutil.copytree(built[0] / "play", tmp_path / "stranger" / "play")
    return tmp_path / "stranger"


def repair(release: Path) -> None:
    """What an adversary does after a change: make SHA256SUMS agree with it."""
    (release / "SHA256SUMS").write_text(sums(release, ("SHA256SUMS", "report.html", "buildinfo")))


# What is published


def telling(source: str, files: dict[str, str]) -> Iterator[str]:
    """All that would tell of some texts, or let somebody try out what they say."""
    for name, text in files.items():
        raw, clean = text.encode(), normalise(text)
        yield from (name, text.strip(), " ".join(text.split()[-3:]), "Zwick" if SIGNED in text else name)
        for data in {raw, clean.encode()}:
            sha256 = hashlib.sha256(data).hexdigest()
            yield from (sha256[:12], hashlib.sha256(f"{sha256}  {name}\n".encode()).hexdigest()[:12])
            for said in (text, clean):
                yield identify(source, locator(name, 0, len(data)), said)[:12]
    listed = "".join(f"{hashlib.sha256(files[name].encode()).hexdigest()}  {name}\n" for name in sorted(files))
    yield hashlib.sha256(listed.encode()).hexdigest()[:12]


def words_of(path: Path) -> str:
    """All that can be read in a file: of a table, every cell."""
    found = path.read_bytes().decode("latin-1")
    return found + (json.dumps(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else "")


def test_no_file_of_a_release_tells_what_may_not_be_shared(built: tuple[Path, Path]) -> None:
    folder, release = built
    there = {path: words_of(path) for path in (*release.rglob("*"), folder / "regrow.lock") if path.is_file()}
    assert len(there) > 30
    found = [
        (str(path), word)
        for source in SECRET
        for word in telling(source, TEXTS[source])
        for path, text in there.items()
        if word in text
    ]
    assert found == []
    said = [word for word in telling("play", TEXTS["play"]) if any(word in text for text in there.values())]
    assert len(said) > len(TEXTS["play"])  # so that what is looked for would be found


def test_the_secret_of_a_source_lies_beside_its_texts_alone(built: tuple[Path, Path]) -> None:
    folder, release = built
    kept = sorted((folder / WITHHELD).glob("*.sha256"))
    assert [path.name.partition("-")[0] for path in kept] == ["diaries", "letters"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
    assert (folder / WITHHELD / ".gitignore").read_text().splitlines()[-1] == "*"
    secrets = {Pins.parse(path.read_text()).secret for path in kept}
    assert len(secrets) == 2 and all(len(bytes.fromhex(secret)) == 32 for secret in secrets)
    public = [words_of(path) for path in (*release.rglob("*"), folder / "regrow.lock") if path.is_file()]
    assert not any(secret in text for secret in secrets for text in public)
    assert not any(WITHHELD in path.as_posix() for path in release.rglob("*"))


def test_a_source_of_the_whole_folder_does_not_take_the_secrets(recipe: Path) -> None:
    text = (recipe / "regrow.toml").read_text()
    (recipe / "regrow.toml").write_text(text.replace("file:play", "file:."))
    assert not any(WITHHELD in pin.file for pin in lock(recipe).graph["fetch-play"].parameters.pins)
    (recipe / "regrow.toml").write_text(text.replace("file:play", f"file:{WITHHELD}"))
    with pytest.raises(RecipeError, match="where secrets lie"):
        lock(recipe)


def test_the_manifest_has_a_leaf_for_each_and_the_root_stands_for_them(built: tuple[Path, Path]) -> None:
    there = Release.open(built[1])
    found = commitments(there)
    assert {name: one.documents for name, one in found.items()} == {"letters": 7, "diaries": 2}
    assert found["letters"].bytes == sum(len(text.strip()) for text in TEXTS["letters"].values())
    assert len({row.leaf for row in rows(there, "letters")}) == 7
    (said,) = [one for one in there.statements if one.stage == "commit-letters"]
    path = "evidence/commit-letters/commitment.json"
    assert dict(said.files)["commitment.json"] == there.listed[path]
    assert "may not be shared" in (built[1] / "README.md").read_text()


def test_who_might_guess_so_few_texts_is_said(built: tuple[Path, Path]) -> None:
    told = {
        name: json.loads((built[1] / f"evidence/commit-{name}/evidence.json").read_text())["notices"] for name in SECRET
    }
    assert [len(told[name]) for name in SECRET] == [0, 1]
    assert "might guess" in told["diaries"][0]


def test_files_are_called_by_their_numbers(built: tuple[Path, Path]) -> None:
    table = pq.read_table(built[1] / "data/documents.parquet", columns=["source", "file"]).to_pylist()
    files = {source: sorted(row["file"] for row in table if row["source"] == source) for source in TEXTS}
    assert files["diaries"] == ["000000001", "000000002"]
    assert files["play"][0] == "act-0.txt"


def test_the_same_recipe_gives_the_same_release(built: tuple[Path, Path], recipe: Path, tmp_path: Path) -> None:
    again = made(recipe, tmp_path / "store", mode=Mode.LOCKED)
    assert Release.open(again).digest == Release.open(built[1]).digest


def test_another_secret_makes_every_id_another(recipe: Path, built: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.rmtree(recipe / WITHHELD)
    (recipe / "regrow.lock").unlink()
    locked, name = lock(recipe), "documents-letters"
    with Store(tmp_path / "store") as there:
        found = evaluate(
            locked.graph,
            there,
            scope="",
            listener=quiet,
            stop=threading.Event(),
            only=[name],
            surroundings=locked.surroundings,
        )
        now = {one.id for one in stream(found.results[name].path)}
    before = {row.id for row in rows(Release.open(built[1]), "letters")}
    assert len(now) == len(before) and before.isdisjoint(now)


def test_a_step_is_told_of_without_the_texts(built: tuple[Path, Path]) -> None:
    there = Release.open(built[1])
    known = {row.id for row in rows(there, "letters")}
    found = [piece for step in range(1, 5) for piece in pieces(there, step) if piece.source == "letters"]
    assert found
    assert all(piece.document in known and re.fullmatch(r"0{8}\d:\d+-\d+", piece.locator) for piece in found)


# Locking


def test_a_lost_secret_is_not_replaced_behind_the_back_of_a_lock(recipe: Path) -> None:
    shutil.rmtree(recipe / WITHHELD)
    with pytest.raises(InputError, match="the secret of source `letters` is not here") as caught:
        lock(recipe)
    assert "delete the lock" in caught.value.hint
    (recipe / "regrow.lock").unlink()
    assert not lock(recipe).missing


def test_a_secret_is_kept_for_as_long_as_it_is_there(recipe: Path) -> None:
    before = lock(recipe).secrets
    (recipe / "regrow.lock").unlink()
    assert lock(recipe).secrets == before
    relock(recipe, check=False, offline=True, listener=quiet)
    (recipe / "letters" / "one-more.txt").write_text("Dear Anna, it is gone.\n")
    relock(recipe, check=False, offline=True, listener=quiet)
    secrets = {Pins.parse(path.read_text()).secret for path in (recipe / WITHHELD).glob("letters-*")}
    assert len(secrets) == 1
    assert len([*(recipe / WITHHELD).glob("letters-*")]) == 2


def test_a_variant_takes_the_secrets_of_what_it_extends(recipe: Path) -> None:
    variant = recipe.parent / "variant"
    variant.mkdir()
    (variant / "regrow.toml").write_text('extends = "../recipe"\n[model]\nname = "other"\n')
    locked = lock(variant)
    assert locked.secrets == lock(recipe).secrets
    locked.keep_secrets()
    assert not (variant / WITHHELD).exists()


def test_a_changed_text_is_told_of_without_its_name(recipe: Path) -> None:
    (recipe / "letters" / "to-anna-3.txt").write_text("Dear Anna, no.\n")
    with pytest.raises(RecipeError, match="the lock is not up to date") as caught:
        lock(recipe, Mode.LOCKED)
    assert caught.value.why.startswith("source letters: its files changed; ")
    assert "anna" not in caught.value.why


@pytest.mark.parametrize("part, into", [("# withheld ", "# withheld"), ("# withheld \\w+", "#"), ("to-anna-3", "a")])
def test_a_secret_list_that_was_changed(recipe: Path, part: str, into: str) -> None:
    (path,) = (recipe / WITHHELD).glob("letters-*")
    path.write_text(re.sub(part, into, path.read_text()))
    with pytest.raises(InputError, match=r"the secret list of the files of source `letters` is (damaged|not the one)"):
        lock(recipe)


def test_another_secret_is_not_the_one_of_the_lock(recipe: Path) -> None:
    (path,) = (recipe / WITHHELD).glob("letters-*")
    pins = Pins.parse(path.read_text())
    path.write_text(Pins.kept_back(pins, "0" * 64).text)
    with pytest.raises(InputError, match="is not the one of the lock"):
        lock(recipe)


def test_secrets_that_cannot_be_written_stop_a_build_before_it_begins(tmp_path: Path) -> None:
    folder = write(tmp_path / "recipe")
    (folder / WITHHELD).write_text("a file in its place")
    with pytest.raises(InputError, match="cannot be kept"):
        made(folder, tmp_path / "store")
    assert not (folder / "regrow.lock").exists()


# Verifying


def test_who_holds_the_texts_verifies_all(built: tuple[Path, Path], store: Path) -> None:
    report = verify(built[1], sources=built[0], store=store)
    assert (report.verdict, report.exit_code) == (Verdict.SAME, 0)
    assert all(stage.same for stage in report.stages)


def test_a_stranger_is_told_what_was_checked(release: Path, open_texts: Path) -> None:
    report = verify(release, sources=open_texts)
    assert (report.verdict, report.exit_code) == (Verdict.NOT_HERE, 6)
    assert report.missing == ("letters", "diaries")
    assert {stage.name for stage in report.stages if stage.same} == {"fetch-play", "documents-play", "gguf"}
    assert set(report.taken) == {"pretrain", "tokenizer"}
    assert report.to_json()["missing_sources"] == ["letters", "diaries"]
    assert report.lines()[0] == "Cannot be rebuilt here: 2 sources missing, of texts that may not be shared."
    assert any(line.startswith("  not checked, since it is made from what is missing") for line in report.lines())


def change_table(release: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = release / "data/documents.parquet"
    table = pq.read_table(path)
    parquet.write(path, pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), rows_in_group=100)
    repair(release)


def without_one(source: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def change(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
        table.remove(next(row for row in table if row["source"] == source))
        return table

    return change


def longer(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "bytes": row["bytes"] + (row["source"] == "diaries")} for row in table]


def trained_on_others(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    other = {"train": "validation", "validation": "train"}  # which are which hangs on secrets that are drawn
    return [{**row, "split": other.get(row["split"], row["split"])} for row in table]


@pytest.mark.parametrize(
    "change, reason",
    [
        (without_one("letters"), "gives of `letters` the root"),
        (without_one("play"), "1 documents of `play` are neither in"),
        (longer, "gives of `diaries` the bytes"),
        (trained_on_others, "the training"),
    ],
)
def test_what_a_stranger_finds_different(
    release: Path, open_texts: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], reason: str
) -> None:
    change_table(release, change)
    report = verify(release, sources=open_texts)
    assert (report.verdict, report.exit_code) == (Verdict.DIFFERENT, 3)
    assert any(reason in one for one in report.reasons)
    assert report.lines()[0].startswith("Different: what the release says of itself")


def test_a_statement_that_was_changed_is_different(release: Path, open_texts: Path) -> None:
    path = release / "provenance/split.intoto.json"
    said = json.loads(path.read_text())
    said["subject"][0]["digest"]["sha256"] = "0" * 64
    path.write_text(json.dumps(said))
    repair(release)
    assert verify(release, sources=open_texts).verdict is Verdict.DIFFERENT


def test_a_statement_does_not_lead_out_of_the_release(release: Path, open_texts: Path, tmp_path: Path) -> None:
    path = release / "provenance/pretrain.intoto.json"
    said = json.loads(path.read_text())
    said["subject"][1]["name"] = "pretrain/../../../../stolen"
    path.write_text(json.dumps(said))
    repair(release)
    report = verify(release, sources=open_texts)
    assert "pretrain" not in report.taken
    assert not [*tmp_path.rglob("stolen")]


def test_different_open_texts_are_no_missing_source(release: Path, open_texts: Path) -> None:
    (open_texts / "play" / "act-3.txt").write_text("Act 3: it does not rain.\n")
    with pytest.raises(InputError, match=r"act-3\.txt"):
        verify(release, sources=open_texts)


def test_the_secrets_of_another_release_do_not_help(release: Path, open_texts: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other")
    lock(other).keep_secrets()
    shutil.copytree(other / WITHHELD, open_texts / WITHHELD)
    report = verify(release, sources=open_texts)
    assert report.verdict is Verdict.NOT_HERE
    assert any("with another secret" in reason for reason in report.reasons)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("Dear Anna, no.\n")])
def test_a_text_that_its_holder_lost_or_edited(recipe: Path, release: Path, change: Callable[[Path], None]) -> None:
    change(recipe / "letters" / "to-anna-3.txt")
    with pytest.raises(InputError, match=r"to-anna-3\.txt"):
        verify(release, sources=recipe)


# Opening


def ids(release: Path, source: str = "letters") -> list[str]:
    return [row.id for row in rows(Release.open(release), source)]


def test_any_number_of_documents_can_be_shown(built: tuple[Path, Path], store: Path, tmp_path: Path) -> None:
    there = Release.open(built[1])
    for count in (1, 3, 7):
        made = opening(there, ids(built[1])[:count], store=store)
        (tmp_path / "proof.json").write_text(made.to_json())
        shown = check(there, read(tmp_path / "proof.json"))
        assert [one.document for one in shown] == ids(built[1])[:count]
    used = {row.id: row.split for row in rows(there, "letters")}
    assert all(one.training is (used[one.document] == "train") for one in shown)
    assert {one.text for one in made.opened} == {text.strip() for text in TEXTS["letters"].values()}


def test_a_proof_tells_of_no_other_document(built: tuple[Path, Path], store: Path) -> None:
    first, *others = ids(built[1])
    made = opening(Release.open(built[1]), [first[:9]], store=store)
    (said,) = made.opened
    assert not any(text.strip() in made.to_json() for text in TEXTS["letters"].values() if text.strip() != said.text)
    assert not any(one in made.to_json() for one in others)


def test_who_has_the_text_needs_it_in_no_proof(built: tuple[Path, Path], store: Path) -> None:
    there = Release.open(built[1])
    made = opening(there, ids(built[1])[:1], text=False, store=store)
    assert "pot" not in made.to_json()
    with pytest.raises(InputError, match="does not hold the text"):
        check(there, made)
    assert len(check(there, made, [*TEXTS["letters"].values()])) == 1  # as it is in the file, before it is cleaned
    with pytest.raises(DifferentError, match="does not hold"):
        check(there, made, ["Dear Anna, the key is under pot 9."])


def forged(made: Opening, what: str) -> Opening:
    one = made.opened[0]
    other = "0" * 64
    changed = {
        "a document that is not in it": replace(one, text="Dear Anna, I never wrote this."),
        "another document with the same id": replace(one, text=made.opened[1].text),
        "another id with the same text": replace(one, document=made.opened[1].document),
        "another salt": replace(one, salt=other),
        "a forged path": replace(one, path=(other, *one.path[1:])),
        "a shorter path": replace(one, path=one.path[:-1]),
        "a longer path": replace(one, path=(*one.path, other)),
        "another place": replace(one, index=one.index + 1),
        "a place that is not there": replace(one, index=10**6),
        "a negative place": replace(one, index=-1),
    }
    return replace(made, opened=(changed[what],))


@pytest.mark.parametrize(
    "what",
    [
        "a document that is not in it",
        "another document with the same id",
        "another id with the same text",
        "another salt",
        "a forged path",
        "a shorter path",
        "a longer path",
        "another place",
        "a place that is not there",
        "a negative place",
    ],
)
def test_a_forged_proof_does_not_hold(built: tuple[Path, Path], store: Path, what: str) -> None:
    there = Release.open(built[1])
    made = opening(there, ids(built[1])[:2], store=store)
    with pytest.raises(DifferentError, match="does not hold"):
        check(there, forged(made, what))


def test_a_proof_for_another_release_or_source(built: tuple[Path, Path], store: Path) -> None:
    there = Release.open(built[1])
    made = opening(there, ids(built[1])[:1], store=store)
    with pytest.raises(DifferentError, match="not about this release"):
        check(there, replace(made, root="0" * 64))
    with pytest.raises(DifferentError, match="not about this release"):
        check(there, replace(made, source="diaries"))
    with pytest.raises(DifferentError, match="commits to no texts of `play`"):
        check(there, replace(made, source="play"))


def test_a_tree_of_the_adversarys_own_is_not_believed(release: Path, built: tuple[Path, Path], store: Path) -> None:
    """An inner node is no leaf, and a file that the list of checksums does not have is not read."""
    path = release / "evidence/commit-letters/commitment.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "root": "0" * 64}))
    made = opening(Release.open(built[1]), ids(built[1])[:1], store=store)
    with pytest.raises(InputError, match="not the file that was released"):
        check(Release.open(release), made)
    repair(release)
    with pytest.raises(DifferentError):
        check(Release.open(release), made)


def test_what_is_not_there_cannot_be_opened(built: tuple[Path, Path], store: Path, tmp_path: Path) -> None:
    there = Release.open(built[1])
    for said in ("f" * 64, "ab", ids(built[1])[0] + "0"):
        with pytest.raises(InputError, match="no commitment to a document"):
            opening(there, [said], store=store)
    with pytest.raises(InputError, match="does not have the texts"):
        opening(there, ids(built[1])[:1], store=tmp_path / "empty")
    with pytest.raises(RecipeError, match="several sources"):
        opening(there, [ids(built[1])[0], ids(built[1], "diaries")[0]], store=store)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"schema": "regrow/opening/1"}',
        '{"schema": "regrow/opening/1", "source": "letters", "root": 1, "documents": 2, "opened": []}',
        '{"schema": "regrow/opening/1", "source": "letters", "root": "", "documents": true, "opened": []}',
        '{"schema": "regrow/opening/1", "source": "letters", "root": "", "documents": 2, "opened": [3]}',
        '{"schema": "regrow/opening/1", "source": "s", "root": "", "documents": 2, "opened": '
        '[{"document": "x", "salt": "y", "index": 0, "path": []}]}',
    ],
)
def test_what_is_no_proof(tmp_path: Path, text: str) -> None:
    (tmp_path / "proof.json").write_text(text)
    with pytest.raises(InputError, match="this is no proof"):
        read(tmp_path / "proof.json")


def test_a_proof_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "proof.json").write_bytes(b"[\xff]")
    with pytest.raises(InputError, match="this is no proof") as caught:
        read(tmp_path / "proof.json")
    assert caught.value.why == "it is not in UTF-8"


def test_a_commitment_that_is_none(release: Path) -> None:
    (release / "evidence/commit-letters/commitment.json").write_text("{}")
    repair(release)
    with pytest.raises(DamagedError, match="no commitment"):
        commitments(Release.open(release))


def test_the_commands(built: tuple[Path, Path], store: Path, tmp_path: Path) -> None:
    release, proof = str(built[1]), str(tmp_path / "proof.json")

    def run(*args: str) -> Any:
        return CliRunner().invoke(cli, ["commitment", *args])

    first = ids(built[1])[0]
    told = json.loads(run("open", release, first, "--store", str(store)).stdout)
    assert (told["schema"], told["opened"][0]["document"]) == ("regrow/opening/1", first)
    assert run("open", release, first, "--store", str(store), "-o", proof).exit_code == 0
    found = run("check", release, proof)
    assert found.stdout.splitlines()[0].startswith(f"{first}  letters  ")
    assert found.stdout.splitlines()[-1] == Release.open(built[1]).digest
    shown = json.loads(run("check", release, proof, "--json").stdout)
    assert [one["document"] for one in shown["documents"]] == [first]
    Path(proof).write_text(Path(proof).read_text().replace("Dear Anna", "Dear Otto"))
    assert run("check", release, proof).exit_code == DifferentError.exit_code
    assert run("check", release, str(tmp_path / "none.json")).exit_code == InputError.exit_code
    assert run("open", release, first, "--store", str(store), "-o", f"{proof}/x").exit_code == StageError.exit_code


# Other shapes


@pytest.mark.parametrize("shards, part", [(3, 1 << 28), (1, 60), (4, 60)])
def test_a_commitment_does_not_depend_on_the_number_of_parts(
    built: tuple[Path, Path], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, part: int
) -> None:
    monkeypatch.setattr(documents, "PART", part)  # bytes of files
    text = (recipe / "regrow.toml").read_text()
    (recipe / "regrow.toml").write_text(text.replace("[corpus]", f"[corpus]\nshards = {shards}"))
    names, stop = ["commit-letters", "commit-diaries"], threading.Event()
    with Store(tmp_path / "store") as there:
        locked = lock(recipe)
        found = evaluate(
            locked.graph, there, scope="", listener=quiet, stop=stop, only=names, surroundings=locked.surroundings
        )
        made = [Commitment.read((found.results[name].path / "commitment.json").read_text()) for name in names]
        split = found.results["split"].path
        assert (len([*split.glob("part-*")]) or 1) == shards
    promised = commitments(Release.open(built[1]))
    assert made == [promised["letters"], promised["diaries"]]


def test_files_in_an_archive_are_numbered_too(tmp_path: Path) -> None:
    names = Hidden("letters", "ab" * 32, {"a.zip": 7})
    assert names.file("a.zip") == "000000007"
    assert names.file("a.zip!/to-anna.txt") == "000000007!/000000001"
    assert names.file("a.zip!/b.zip!/to-otto.txt") == "000000007!/000000002"
    assert names.file("a.zip!/to-anna.txt") == "000000007!/000000001"
    assert names.id("a.zip", b"x") != Hidden("letters", "ac" * 32, {}).id("a.zip", b"x")


def test_all_sources_may_be_kept_back_and_one_may_be_empty(tmp_path: Path, store: Path) -> None:
    letters = {**TEXTS["letters"], "long.txt": "The rain in Spain stays mainly in the plain, and so it rains.\n" * 9}
    texts = {"letters": letters, "diaries": {"1923.txt": "\n", "1924.txt": "a\n"}}
    folder = write(tmp_path / "recipe", texts)
    release = made(folder, store)
    found = commitments(Release.open(release))
    assert found["diaries"].documents == 0
    assert found["diaries"].root == hashlib.sha256().hexdigest()
    report = verify(release, sources=tmp_path / "nothing")
    assert (report.verdict, report.missing) == (Verdict.NOT_HERE, ("letters", "diaries"))
    assert verify(release).verdict is Verdict.NOT_HERE  # and nobody is asked for a folder of texts that others have
    assert verify(release, sources=folder, store=store).verdict is Verdict.SAME
