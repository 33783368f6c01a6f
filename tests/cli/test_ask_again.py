"""`regrow test` and `regrow eval` of a release that was built. python -m pytest tests/cli/test_ask_again.py"""

from .conftest import Shell


def test_the_samples_of_a_build_are_asked_again(built: Shell) -> None:
    done = built.run("test", "build/small")
    assert done.returncode == 0, done.stderr
    *cases, last = done.stdout.splitlines()
    assert cases and all(line.strip().startswith("ok  sample ") for line in cases)
    assert last.endswith("all as they were")


def test_scores_name_the_release(built: Shell) -> None:
    told = built.json("eval", "build/small", "--tasks", "sequences", "--truncate", "--limit", "3")
    assert told["release"]["name"] == "small" and len(told["release"]["digest"]) == 64
    assert [one["task"] for one in told["scores"]] == ["sequences"]
