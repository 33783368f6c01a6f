import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import COUNT, JOIN, WRITE, diamond, note, stage

from regrow.engine import Choice, Evaluation, evaluate, ingredients, key_of, rerun
from regrow.errors import InputError, Interrupted, RegrowError, StageError
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Given, Kind, Parameters, Released, Slot
from regrow.store import Store, StoreReader, opened, remove_tree, tree_digest


class Run:
    """A store, a log of the runs, and the events of the last evaluation."""

    def __init__(self, root: Path) -> None:
        self.log = root / "log"
        self.store = Store(root / "store")
        self.stop = threading.Event()
        self.events: list[dict[str, Any]] = []

    def __call__(self, graph: Graph, **options: Any) -> Evaluation:
        self.events.clear()
        return evaluate(graph, self.store, **self.options, **options)

    @property
    def options(self) -> dict[str, Any]:
        return {"scope": "here", "listener": lambda event: self.events.append(dict(event)), "stop": self.stop}

    def runs(self) -> list[str]:
        """What ran since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def told(self, event: str) -> list[str]:
        return [one["stage"] for one in self.events if one["event"] == event]


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    yield run
    run.store.close()


def text(evaluation: Evaluation, name: str) -> str:
    return (evaluation.results[name].path / "deep" / "text.txt").read_text()


def flip(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_everything_runs_once_and_is_cached_then(run):
    first = run(diamond(run.log))
    assert run.runs() == ["left", "right", "both", "end"]
    assert text(first, "end") == "a+b.."
    assert run.told("stage-done") == ["left", "right", "both", "end"]
    again = run(diamond(run.log))
    assert run.runs() == []
    assert run.told("stage-cached") == list(again.results) == ["left", "right", "both", "end"]
    for name, result in again.results.items():
        assert result.cached and not first.results[name].cached
        assert (result.digest, result.key) == (first.results[name].digest, first.results[name].key)
        assert tree_digest(result.path) == result.digest
    assert list((run.store.root / "work").iterdir()) == []


def test_only_what_depends_on_a_change_runs(run):
    run(diamond(run.log))
    run.runs()
    run(diamond(run.log, separator="-"))
    assert run.runs() == ["both", "end"]
    run(diamond(run.log))
    assert run.runs() == []  # the old results are still there


def test_the_same_bytes_again_spare_the_successors(run):
    run(diamond(run.log))
    run.runs()
    changed = diamond(run.log)
    newer = replace(changed.stages[0], kind=replace(WRITE, version=2))
    run(Graph((newer, *changed.stages[1:])))
    assert run.runs() == ["left"]


def test_only_some_stages(run):
    evaluation = run(diamond(run.log), only=["both"])
    assert run.runs() == list(evaluation.results) == ["left", "right", "both"]


def test_side_by_side_gives_the_same(run, tmp_path):
    one = run(diamond(run.log))
    other = Run(tmp_path / "other")
    two = other(diamond(run.log), who=Choice(jobs=3))
    assert list(two.results) == list(one.results)
    assert {n: r.digest for n, r in two.results.items()} == {n: r.digest for n, r in one.results.items()}


def test_stages_see_the_context_of_whoever_evaluates(run):
    word: ContextVar[str] = ContextVar("word", default="nothing")
    seen = []
    kind = replace(WRITE, run=lambda call: (seen.append(word.get()), toy.write(call)))
    graph = Graph((stage("one", kind, text="1"), stage("two", kind, text="2")))
    token = word.set("something")
    try:
        run(graph, who=Choice(jobs=2))
    finally:
        word.reset(token)
    assert seen == ["something", "something"]


def test_side_by_side_is_at_the_same_time_and_a_failure_stops_the_others(run):
    meeting = threading.Barrier(2, timeout=20)

    def wait_for_stop(call):
        meeting.wait()
        for _ in range(1000):
            if call.context.stopping():
                call.context.stop()
            time.sleep(0.01)

    def fail(call):
        meeting.wait()
        raise ValueError("out of luck")

    waiter, failer = (Kind(name, 1, Parameters, {}, "text", work) for name, work in (("w", wait_for_stop), ("f", fail)))
    with pytest.raises(StageError, match="out of luck"):
        run(Graph((stage("waiter", waiter), stage("failer", failer))), who=Choice(jobs=2))
    assert run.told("interrupted") == ["waiter"]


@pytest.mark.parametrize("damage", ["flip", "remove", "add"])
def test_damage_is_reported_and_rebuilt_and_never_used(run, damage):
    before = run(diamond(run.log))
    run.runs()
    path = before.results["both"].path
    (path / "deep").chmod(0o755)
    if damage == "flip":
        flip(path / "deep" / "text.txt")
    elif damage == "remove":
        (path / "deep" / "text.txt").unlink()
    else:
        (path / "deep" / "more").touch()
    after = run(diamond(run.log))
    assert run.runs() == ["both"]
    assert run.told("damaged") == ["both"]
    assert run.told("stage-cached") == ["left", "right", "end"]
    assert {n: r.digest for n, r in after.results.items()} == {n: r.digest for n, r in before.results.items()}
    assert text(after, "both") == "a+b."
    run(diamond(run.log))
    assert run.told("damaged") == []


def test_a_missing_artifact_is_not_called_damaged(run):
    remove_tree(run(diamond()).results["both"].path)
    run(diamond())
    assert (run.told("missing"), run.told("damaged"), run.told("stage-start")) == (["both"], [], ["both"])


def test_a_lost_action_cache_is_noted(run):
    run(diamond(run.log))
    (run.store.root / "actions.sqlite").write_bytes(b"x" * 10_000)
    run.store = Store(run.store.root)
    run(diamond(run.log))
    assert run.events[0]["event"] == "note"
    run.store.close()


# Several processes


def _build_slowly(root: Path, log: Path, start: Any) -> None:
    def slow(call):
        note(call)
        time.sleep(0.2)
        (call.output / "file").write_text("done")

    start.wait()

    def follow(call):
        note(call)
        (call.output / "file").write_text((call.input("texts") / "file").read_text() + " twice")

    after = stage("next", replace(JOIN, run=follow), {"texts": ("slow",)}, log=str(log))
    graph = Graph((stage("slow", replace(WRITE, run=slow), log=str(log)), after))
    with Store(root) as store:
        evaluation = evaluate(graph, store, scope=str(os.getpid()), listener=lambda _: None, stop=threading.Event())
        assert (evaluation.results["slow"].path / "file").read_text() == "done"


def test_two_builds_at_once_run_a_stage_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    builders = [context.Process(target=_build_slowly, args=(tmp_path / "s", tmp_path / "log", start)) for _ in range(3)]
    for builder in builders:
        builder.start()
    start.set()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    assert Counter((tmp_path / "log").read_text().split()) == {"slow": 1, "next": 1}


def test_waiting_for_another_build_is_told_and_can_be_stopped(run):
    one = stage("left", WRITE)

    def stop_once_told():
        while not run.told("waiting"):
            time.sleep(0.01)
        run.stop.set()

    with run.store.lock(key_of(ingredients(one, {}))):
        threading.Thread(target=stop_once_told, daemon=True).start()
        with pytest.raises(Interrupted):
            run(Graph((one,)))
    assert run.told("waiting") == ["left"]
    assert run.told("stage-start") == []


def test_garbage_collection_in_the_middle_of_a_build_takes_nothing_it_uses(run):
    def clean(call):
        with Store(run.store.root) as cleaner:
            cleaner.gc(keep_days=-1)
        toy.join(call)

    graph = diamond(run.log)
    both = replace(graph.stages[2], kind=replace(JOIN, run=clean))
    evaluation = run(Graph((*graph.stages[:2], both)))
    assert text(evaluation, "both") == "a+b."
    assert all(run.store.check(result.digest) for result in evaluation.results.values())


def test_what_the_last_build_used_is_kept(run):
    run(diamond(text="old"))
    run(diamond(text="new"))
    run.store.close()
    with Store(run.store.root) as store:
        assert len(store.gc(keep_days=-1)) == 3  # all old ones but `right`, which did not change
        run.store = store
        run(diamond(text="new"))
        assert run.told("stage-start") == []
        run(diamond(text="old"))
        assert run.told("stage-start") == ["left", "both", "end"]


def test_a_store_that_can_only_be_read_gives_what_it_has_and_takes_nothing(run, tmp_path, monkeypatch):
    made = run(diamond(run.log))
    monkeypatch.setattr("regrow.store.store.writable", lambda _: False)
    with opened(run.store.root) as reader:
        assert isinstance(reader, StoreReader)
        again = evaluate(diamond(run.log), reader, **run.options)
        assert [one.cached for one in again.results.values()] == [True] * len(made.results)
        with pytest.raises(StageError, match="the store can only be read") as error:
            evaluate(Graph((stage("count", COUNT, steps=1, kill_at=9, log=str(run.log)),)), reader, **run.options)
    assert error.value.where == "stage `count`" and "REGROW_STORE" in error.value.hint


# Kills and stops

KILLED = """
    import sys, threading
    from pathlib import Path
    from toy import COUNT, stage
    from regrow.engine import evaluate
    from regrow.recipe.graph import Graph
    from regrow.store import Store
    graph = Graph((stage("count", COUNT, steps=5, kill_at=int(sys.argv[3]), log=sys.argv[2]),))
    with Store(Path(sys.argv[1])) as store:
        one = evaluate(graph, store, scope="here", listener=lambda _: None, stop=threading.Event()).results["count"]
        print(one.digest, one.cached)
"""


def count(root: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(root / "store"), str(root / "log"), str(kill_at)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    return subprocess.run(arguments, capture_output=True, text=True, env=environment)


def test_after_a_kill_the_same_command_continues_from_scratch_to_the_same_digest(tmp_path):
    killed = count(tmp_path, kill_at=3)
    assert killed.returncode == -9, killed.stderr
    assert list((tmp_path / "store").glob("artifacts/*/*")) == []
    assert len(list((tmp_path / "store").glob("tmp/*/*/half"))) == 1
    resumed = count(tmp_path, kill_at=3)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "log").read_text().split("\n")[:-1] == [f"count {step}" for step in range(5)]
    digest, cached = resumed.stdout.split()
    assert cached == "False"
    assert count(tmp_path, kill_at=3).stdout.split() == [digest, "True"]
    with Store(tmp_path / "store") as store:
        assert (store.path(digest) / "whole").exists()
        assert store.gc() == []  # the next build has swept what the killed one was writing
        assert list((store.root / "work").iterdir()) == []
        assert store.check(digest)


@pytest.mark.parametrize("moment", ["put", "record", "record_root", "clear_scratch"])
def test_a_kill_around_the_end_of_a_stage_harms_nothing(tmp_path, moment):
    code = f"""
        import os, signal, sys, threading
        from pathlib import Path
        from toy import diamond
        from regrow.engine import evaluate
        from regrow.store import Store
        if len(sys.argv) > 2:
            Store.{moment} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        with Store(Path(sys.argv[1])) as store:
            for one in evaluate(diamond(), store, scope="x", listener=print, stop=threading.Event()).results.values():
                assert store.check(one.digest)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "store")]
    assert subprocess.run([*command, "die"], env=environment, capture_output=True).returncode == -9
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "damaged" not in run.stdout


def test_a_stop_keeps_what_was_done(run):
    graph = Graph(
        (stage("before", WRITE, log=str(run.log)), stage("count", COUNT, log=str(run.log)), stage("z", WRITE))
    )
    events = run.events

    def stop_at_two(event):
        events.append(dict(event))
        if event["event"] == "progress" and event["done"] == 2:
            run.stop.set()

    with pytest.raises(Interrupted) as error:
        evaluate(graph, run.store, scope="here", listener=stop_at_two, stop=run.stop)
    assert (error.value.exit_code, error.value.where) == (130, "stage `count`")
    assert run.runs() == ["before", "count 0", "count 1"]
    assert run.told("interrupted") == ["count"]
    with pytest.raises(Interrupted):
        run(graph)  # still stopped: nothing begins
    assert run.runs() == []
    run.stop.clear()
    run(graph)
    assert run.runs() == ["count 2", "count 3", "count 4"]


# Failures


def failing(error: BaseException) -> Graph:
    def fail(call):
        (call.output / "half").write_text("half")
        raise error

    return Graph((stage("fine", WRITE), stage("bad", replace(WRITE, name="bad", run=fail))))


def failure(run: Run, error: BaseException) -> RegrowError:
    with pytest.raises(RegrowError) as caught:
        run(failing(error))
    assert run.told("error") == ["bad"]
    assert [path.name for path in run.store.root.rglob("half")] == []
    assert len(run.store.entries()) == 1  # `fine`
    return caught.value


def test_an_error_of_ours_passes_and_gets_a_place(run):
    error = failure(run, InputError("the file is gone", hint="find it"))
    assert (type(error), error.exit_code, error.where) == (InputError, 6, "stage `bad`")
    assert failure(run, InputError("the file is gone", where="regrow.toml")).where == "regrow.toml"
    assert "traceback" not in run.events[-1]


def test_any_other_error_names_stage_and_cause_and_logs_the_traceback(run):
    error = failure(run, ZeroDivisionError("division by zero"))
    assert type(error) is StageError
    assert str(error).splitlines()[:2] == [
        "stage `bad`: the stage failed",
        "because ZeroDivisionError: division by zero",
    ]
    assert "Traceback" not in str(error)
    assert re.search(r"Traceback(.|\n)*in fail\n(.|\n)*ZeroDivisionError", run.events[-1]["traceback"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "disk full: .*store"),
        (OSError(28, "No space left on device", "/big/file"), "disk full: /big/file"),
        (OSError(30, "Read-only file system", "/cd/file"), "the disk is read-only: /cd/file"),
        (PermissionError(13, "Permission denied", "/etc/x"), "no permission: /etc/x"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "the stage failed"),
        (MemoryError(), "out of memory"),
    ],
    ids=lambda value: repr(value),
)
def test_troubles_of_the_machine_are_explained(run, error, words):
    found = failure(run, error)
    assert type(found) is StageError
    assert re.search(words, found.what)
    assert found.where == "stage `bad`" and found.hint


def test_an_output_that_cannot_be_named_fails_the_stage(run):
    def odd(call):
        (call.output / "a\nb").touch()

    with pytest.raises(StageError, match=r"^stage `odd`: `a\\nb` has a name"):
        run(Graph((stage("odd", replace(WRITE, run=odd)),)))


def test_a_second_ctrl_c_leaves_nothing_half_written(run):
    with pytest.raises(KeyboardInterrupt):
        run(failing(KeyboardInterrupt()))
    assert [path.name for path in run.store.root.rglob("half")] == []


def test_what_was_built_before_a_failure_is_not_built_again(run):
    failure(run, ValueError("x"))
    run(Graph((stage("fine", WRITE),)))
    assert run.told("stage-cached") == ["fine"]


def test_inputs_are_read_only_directories_of_the_store(run):
    seen = {}

    def look(call):
        seen.update(call.inputs)
        toy.join(call)

    graph = diamond()
    run(Graph((*graph.stages[:2], replace(graph.stages[2], kind=replace(JOIN, run=look)))))
    assert [path.parent.parent.name for path in seen["texts"]] == ["artifacts", "artifacts"]
    assert not any(path.stat().st_mode & 0o222 for path in seen["texts"])


# Again


def test_rerun_gives_the_same_digest_and_leaves_the_store_alone(run, tmp_path):
    graph = diamond(run.log)
    evaluation = run(graph)
    run.runs()
    before = sorted(path for path in run.store.root.rglob("*") if "sqlite" not in path.name)
    digest = rerun(graph["both"], evaluation, run.store, listener=print, stop=run.stop, output=tmp_path / "copy")
    assert run.runs() == ["both"]
    assert digest == evaluation.results["both"].digest == tree_digest(tmp_path / "copy")
    assert sorted(path for path in run.store.root.rglob("*") if "sqlite" not in path.name) == before


def test_rerun_shows_a_stage_that_is_not_deterministic(run):
    calls = []

    def dice(call):
        calls.append(1)
        (call.output / "x").write_text(str(len(calls)))

    graph = Graph((stage("dice", replace(WRITE, run=dice)),))
    evaluation = run(graph)
    digest = rerun(graph["dice"], evaluation, run.store, listener=lambda _: None, stop=run.stop)
    assert digest != evaluation.results["dice"].digest
    assert run(graph).results["dice"].digest == evaluation.results["dice"].digest


# Speed and weight


def test_a_cached_evaluation_is_quick(run):
    graph = Graph(tuple(stage(f"stage-{number}", WRITE, text=str(number)) for number in range(20)))
    run(graph)
    started = time.perf_counter()
    run(graph)
    assert time.perf_counter() - started < 0.5


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'numba', 'pyarrow', 'tokenizers', 'numpy', 'requests', 'jinja2'}"
    code = f"import regrow.engine, sys; print(*{heavy} & {{*sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.stdout == "\n"


def test_a_file_that_is_declared_has_to_be_in_each_part(tmp_path: Path) -> None:
    def lacks(call: Call[Any]) -> None:
        (parts.made(call.output, 0, 2) / "text.txt").write_text("a")
        (parts.made(call.output, 1, 2) / "other.txt").write_text("b")

    def has(call: Call[Any]) -> None:
        for number in range(2):
            (parts.made(call.output, number, 2) / "text.txt").write_text("a")

    for name, run, whole in (("has", has, True), ("lacks", lacks, False)):
        kind = Kind(name, 1, Parameters, {}, "texts", run, released=(Released("text.txt"),))
        with Store(tmp_path / name) as store:
            given = Graph((Stage("one", kind, Parameters(), {}),))
            with nullcontext() if whole else pytest.raises(StageError, match="has given no `text"):
                evaluate(given, store, scope="s", listener=lambda _: None, stop=threading.Event())


class Looked(Parameters):
    log: str = ""


def _look(given: Given[Looked]) -> None:
    (path,) = given.inputs["said"]
    assert given.inputs.keys() == {"said"}
    with Path(given.parameters.log).open("a") as file:
        file.write(f"{given.name} looked\n")
    if (path / "deep" / "text.txt").read_text() == "wrong":
        raise InputError("it is wrong", where=str(path / "deep" / "text.txt"))


LOOK = Kind(
    "look", 1, Looked, {"texts": Slot("text", many=True), "said": Slot("text", checked=True)}, "text", note, check=_look
)


def _looking(log: Path, said: str) -> Graph:
    log_ = str(log)
    return Graph(
        (
            stage("costly", WRITE, log=log_),
            stage("more", JOIN, {"texts": ("costly",)}, log=log_),
            stage("said", WRITE, text=said, log=log_),
            stage("looking", LOOK, {"texts": ("more",), "said": ("said",)}, log=log_),
        )
    )


def test_what_is_wrong_with_checked_inputs_is_told_before_the_rest_is_made(run):
    for again in (False, True):
        with pytest.raises(InputError, match="it is wrong") as caught:
            run(_looking(run.log, "wrong"))
        assert caught.value.where == f"stage `said`: {Path('deep', 'text.txt')}"
        assert run.runs() == [*([] if again else ["said"]), "looking looked"] and run.told("error") == ["looking"]


def test_checks_are_made_once_and_where_all_is_there_not_at_all(run):
    graph = _looking(run.log, "right")
    found = run(graph)
    assert run.runs() == ["said", "looking looked", "costly", "more", "looking"]
    assert [*found.results] == [one.name for one in graph.stages]
    assert [*run(graph).results] == [*found.results] and run.runs() == []
    run(_looking(run.log, "right"), only=["said"])
    assert run.runs() == []


def test_checks_are_made_where_stages_run_side_by_side(run):
    with pytest.raises(InputError, match="it is wrong"):
        run(_looking(run.log, "wrong"), who=Choice(jobs=4))
    assert run.runs().count("looking looked") == 1 and "looking" not in run.runs()


def test_who_hears_of_each_failure_hears_of_a_wrong_input_from_its_stage(run):
    failed = []
    found = run(_looking(run.log, "wrong"), failed=lambda one, error: failed.append(one.name))
    assert failed == [] and {*found.results} == {"costly", "more", "said", "looking"}


def test_a_kind_says_what_its_check_reads():
    with pytest.raises(ValueError, match="`check` of inputs that are `checked`"):
        Kind("a", 1, Looked, {"texts": Slot("text")}, "text", note, check=_look)
    with pytest.raises(ValueError, match="`check` of inputs that are `checked`"):
        Kind("a", 1, Looked, {"texts": Slot("text", checked=True)}, "text", note)
