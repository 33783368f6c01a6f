"""python -m pytest tests/cli/test_build.py"""

import re
import subprocess
import sys
from pathlib import Path

from .conftest import HEX, Shell, write_recipe


def test_stdout_is_the_digest_and_nothing_else(first_build: subprocess.CompletedProcess[str]) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", first_build.stdout)
    assert not HEX.search(first_build.stderr)  # so that the last digest on a terminal is that of the release


def test_the_digest_is_what_sha256sum_says(built: Shell, first_build: subprocess.CompletedProcess[str]) -> None:
    release = built.folder / "build" / "small"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=release, check=True)
    said = subprocess.run(["sha256sum", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == first_build.stdout.strip()


def test_a_line_for_each_stage(first_build: subprocess.CompletedProcess[str]) -> None:
    for stage in ("fetch-texts", "documents-texts", "clean", "split", "tokenizer", "tokenize", "pretrain", "evaluate"):
        assert re.search(rf"^       Built {stage} +[0-9.]+ (s|min)", first_build.stderr, re.MULTILINE), stage


def test_first_build_says_that_the_lock_is_new(first_build: subprocess.CompletedProcess[str]) -> None:
    lines = first_build.stderr.splitlines()
    assert "     Locking there is no lock yet" in lines
    assert lines[-2] == "     Release is new and now stands in small/regrow.lock"
    assert lines[-1] == "        Next regrow chat build/small"


def test_the_model_is_measured_beside_what_is_to_be_beaten(
    built: Shell, first_build: subprocess.CompletedProcess[str]
) -> None:
    own, *others = re.findall("[0-9]+\\.[0-9]{4} .*", first_build.stderr)
    assert own.endswith(" bits per byte on text it has never seen; fewer is better")
    assert sorted(re.sub("^[0-9.]+ for (\\w+): .*", r"\1", line) for line in others) == ["unigram", "xz"]
    document = built.json("build", "small")
    assert set(document["baselines"]) == {"unigram", "xz"}
    assert document["warnings"] == []


def test_metrics_are_kept_with_the_release(built: Shell, first_build: subprocess.CompletedProcess[str]) -> None:
    assert "     Metrics " + str(built.folder / "build" / "small.metrics.csv") in first_build.stderr.splitlines()
    rows = (built.folder / "build" / "small" / "buildinfo" / "metrics.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 30
    assert not (built.folder / "build" / "small.metrics.csv").exists()


def test_a_model_that_diverged_is_not_presented_like_a_good_one(shell: Shell) -> None:
    write_recipe(shell.folder / "wild", tokens=1_280)
    recipe = shell.folder / "wild" / "regrow.toml"
    recipe.write_text(re.sub("learning_rate = .*", "learning_rate = 10.0", recipe.read_text("utf-8")), "utf-8")
    done = shell.run("build", "wild")
    assert done.returncode == 0
    assert "Warning training diverged: " in done.stderr
    assert "lower `learning_rate` first, which was 10 at its highest" in done.stderr
    release = shell.folder / "build" / "wild"
    for name in ("report.html", "README.md"):
        assert "training diverged" in (release / name).read_text("utf-8")
    assert [one["kind"] for one in shell.json("build", "wild")["warnings"]] == ["diverged"]
    assert "\nwarning: training diverged" in shell.run("inspect", "build/wild").stdout


def test_metrics_of_what_is_in_the_store_are_kept_with_every_release(
    built: Shell, first_build: subprocess.CompletedProcess[str]
) -> None:
    again = built.run("build", "small", "--output", "elsewhere/again")
    assert again.returncode == 0, again.stderr
    assert "Metrics" not in again.stderr
    first, second = (
        (built.folder / place / "buildinfo" / "metrics.csv").read_text("utf-8").splitlines()
        for place in ("build/small", "elsewhere/again")
    )
    assert [line.split(",")[:5] for line in first] == [line.split(",")[:5] for line in second]


def test_second_build_is_cached_and_equals_the_lock(built: Shell) -> None:
    done = subprocess.run(
        f"{sys.executable} -m regrow.cli build small 2>&1",
        shell=True,
        cwd=built.folder,
        env=built.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "      Cached pretrain" in lines
    assert not re.search("^ *Built", done.stdout, re.MULTILINE)
    assert lines[-3] == "     Release equals small/regrow.lock"
    assert lines[-2] == "        Next regrow chat build/small"
    assert re.fullmatch("[0-9a-f]{64}", lines[-1])
    assert re.search("^ +Report build/small/report.html$", done.stdout, re.MULTILINE)
    assert "    A model is" in done.stdout


def test_json(built: Shell, first_build: subprocess.CompletedProcess[str]) -> None:
    document = built.json("build", "small")
    assert document["schema"] == "regrow/build/1"
    assert document["digest"] == first_build.stdout.strip()
    assert document["matches_lock"] is True
    assert Path(document["report"]).is_file()
    assert {stage["name"]: stage["cached"] for stage in document["stages"]}["pretrain"] is True
    assert document["samples"][0]["prompt"] == "A model is"


def test_locked_and_frozen_need_a_lock(shell: Shell, built: Shell) -> None:
    for path in ("regrow.toml", "texts/about-models.txt"):
        target = shell.folder / "small" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((built.folder / "small" / path).read_bytes())
    for flag in ("--locked", "--frozen"):
        done = shell.run("build", "small", flag)
        assert (done.returncode, done.stdout) == (2, "")
        assert "hint: " in done.stderr
    assert not (shell.folder / "small" / "regrow.lock").exists()


def test_locked_fails_if_the_recipe_changed(copy: Shell) -> None:
    recipe = copy.folder / "small" / "regrow.toml"
    recipe.write_text(recipe.read_text().replace("seed = 1", "seed = 2"))
    done = copy.run("build", "small", "--locked")
    assert done.returncode == 2
    assert "seed" in done.stderr
    assert copy.run("lock", "small", "--check").returncode == 2


def test_a_text_that_was_edited_is_noticed(copy: Shell) -> None:
    text = copy.folder / "small" / "texts" / "about-models.txt"
    text.write_text(text.read_text("utf-8") + "One more line.\n", "utf-8")
    reason = "source texts: file `about-models.txt` changed: sha256 "
    assert f"regrow.lock would be renewed: {reason}" in copy.run("plan", "small").stderr
    done = copy.run("lock", "small", "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"because {reason}" in done.stderr
    document = copy.json("lock", "small")
    assert document["written"] is True
    assert [one.startswith(reason) for one in document["reasons"]] == [True]
    assert copy.json("lock", "small")["written"] is False


def test_the_lock_of_a_release_is_not_written_to(copy: Shell) -> None:
    recipe = copy.folder / "build" / "small" / "regrow.toml"
    before = (recipe.parent / "regrow.lock").read_bytes()
    recipe.write_text(recipe.read_text().replace("seed = 1", "seed = 2"))
    done = copy.run("lock", "build/small")
    assert (done.returncode, done.stdout) == (2, "")
    assert "part of a release" in done.stderr and "seed" in done.stderr
    assert (recipe.parent / "regrow.lock").read_bytes() == before


def test_another_digest_than_the_locks_is_3(copy: Shell) -> None:
    lock = copy.folder / "small" / "regrow.lock"
    right = lock.read_text()
    digest = re.search(r'^split = "([0-9a-f]{64})"', right, re.MULTILINE)
    assert digest is not None
    lock.write_text(right.replace(digest[1], "0" * 64))
    done = copy.run("build", "small")
    assert (done.returncode, done.stdout) == (3, "")
    assert "stage `split`" in done.stderr
    done = copy.run("build", "small", "--update-lock")
    assert done.returncode == 0
    assert lock.read_text() == right


def test_output_and_store_are_where_they_are_wanted(copy: Shell) -> None:
    done = copy.run("build", "small/regrow.toml", "--output", "mine/model", "--store", "other")
    assert done.returncode == 0, done.stderr
    assert (copy.folder / "mine" / "model" / "model.safetensors").is_file()
    assert (copy.folder / "other" / "actions.sqlite").is_file()
    assert "       Built pretrain" in done.stderr


def test_a_release_may_take_the_place_of_the_current_directory(copy: Shell) -> None:
    here = copy.folder / "out"
    here.mkdir()
    done = Shell(here, copy.store).run("build", "../small", "-o", ".")
    assert done.returncode == 0, done.stderr
    assert (here / "SHA256SUMS").is_file()
    assert f"      Report {here}/report.html\n" in done.stderr


def test_threads_are_set_before_anything_computes(copy: Shell) -> None:
    done = copy.run("build", "small", "--threads", "1", "--store", "other", "--output", "one")
    assert done.returncode == 0, done.stderr
    assert "equals small/regrow.lock" in done.stderr


def test_verify_agrees_and_notices(copy: Shell) -> None:
    same = copy.run("verify", "build/small", "--source", "small")
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("Same: ")
    (copy.folder / "build" / "small" / "config.json").write_text("{}")
    damaged = copy.run("verify", "build/small", "--source", "small", "--json")
    assert damaged.returncode == 3
    assert '"schema": "regrow/verify/1"' in damaged.stdout
    assert "config.json" in damaged.stdout


def test_lock_is_written_once(copy: Shell) -> None:
    lock = copy.folder / "small" / "regrow.lock"
    assert copy.run("lock", "small").stderr == "      Source texts: 1 file\n   Unchanged small/regrow.lock\n"
    lock.unlink()
    done = copy.run("lock", "small")
    assert (done.returncode, done.stdout) == (0, "small/regrow.lock\n")
    assert "there is no lock yet" in done.stderr
    assert "[outputs]" not in lock.read_text()
    assert copy.run("lock", "small", "--check").returncode == 0


def test_plan_tells_what_runs_and_why(copy: Shell) -> None:
    assert "nothing to do" in copy.run("plan", "small").stdout
    recipe = copy.folder / "small" / "regrow.toml"
    before = (copy.folder / "small" / "regrow.lock").read_text()
    recipe.write_text(recipe.read_text().replace("learning_rate = 3e-3", "learning_rate = 1e-3"))
    done = copy.run("plan", "small")
    assert done.returncode == 0
    assert re.search(r"^  pretrain +run: ", done.stdout, re.MULTILINE)
    assert "regrow.lock would be renewed" in done.stderr
    assert (copy.folder / "small" / "regrow.lock").read_text() == before
    document = copy.json("plan", "small")
    assert document["schema"] == "regrow/plan/1"
    new = [stage["name"] for stage in document["stages"] if not stage["cached"]]
    assert new == ["pretrain", "evaluate", "untrained"]


def test_what_is_left_out_of_a_source_is_told_while_it_is_read_and_at_the_end(copy: Shell) -> None:
    small = copy.folder / "small"
    rows = "".join(f'{{"text": "Row {n} tells of a lamp and a letter that came {n} days late."}}\n' for n in range(9))
    (small / "texts/rows.jsonl").write_text(rows + '{"text": "with a comma"},\n', "utf-8")
    recipe = small / "regrow.toml"
    recipe.write_text(re.sub("(?m)^select = .*$", 'select = "**/*"', recipe.read_text("utf-8")), "utf-8")
    told = re.escape("1 of 10 rows of texts: not JSON (1), first rows.jsonl:")
    first, again = copy.run("build", "small"), copy.run("build", "small")
    assert first.returncode == again.returncode == 0, first.stderr
    assert re.search(rf"^ +Read texts: .*; left out {told}", first.stderr, re.MULTILINE)
    assert "Read texts" not in again.stderr
    for done in (first, again):
        assert re.search(rf"^ +Left out {told}", done.stderr, re.MULTILINE)
    (tally,) = copy.json("build", "small")["left_out"]
    assert (tally["rows"], tally["rows_left_out"][0]["reason"], tally["files_left_out"]) == (10, "not JSON", [])
