"""Who does the tasks of a stage changes nothing, whatever happens to them on the way."""

import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import phased
import pytest
from phased import SORT, TINY, sorting
from toy import WRITE, stage

from regrow.engine import Choice, Evaluation, evaluate, rerun, share
from regrow.engine.machine import memory_kills
from regrow.engine.runners import FolderShelf, Tasks, borrowed, processes
from regrow.engine.runners.elsewhere import identity, perform
from regrow.engine.runners.faults import Lives, plain
from regrow.engine.runners.ray_tasks import _piece
from regrow.engine.runners.slurm import script
from regrow.engine.runners.work import Nobody, packed
from regrow.errors import Interrupted, RecipeError, RegrowError, StageError
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Call, Surroundings
from regrow.store import Store

ONE, TWO = Choice(), Choice(jobs=2)


class Place:
    """A store, the log of the tasks that were done, and the events of the last evaluation."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.log = root / "log"
        self.stop = threading.Event()
        self.events: list[dict[str, Any]] = []

    def __call__(self, graph: Graph, who: Choice = TWO) -> Evaluation:
        self.events.clear()
        with Store(self.root / "store") as store:
            return evaluate(graph, store, scope="here", listener=self.hear, stop=self.stop, who=who)

    def hear(self, event: Any) -> None:
        self.events.append(dict(event))

    def shared(self, who: Choice = TWO) -> Choice:
        """With results at a location."""
        return replace(who, location=f"file://{self.root}/shared")

    def done(self) -> Counter[str]:
        """Which tasks ran since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return Counter(line.rpartition(" ")[0] for line in lines)

    def pids(self) -> list[int]:
        return [int(line.split()[-1]) for line in self.log.read_text().splitlines()]

    def left(self) -> list[Path]:
        return [*(self.root / "store" / "work").iterdir(), *(self.root / "shared").glob("*/*")]


ALL = Counter(["cut 0", "cut 1", "cut 2", "merge 0", "merge 1", "tally 0"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the sorted words, from this process alone."""
    alone = Place(tmp_path_factory.mktemp("alone"))
    made = alone(sorting(alone.log), ONE).results["sorted"]
    words = "".join((path / "lines").read_text() + "\n" for path in sorted(made.path.glob("part-*"))).split()
    assert sorted(words) == sorted({*phased.WORDS.split()}) and (made.path / "tally").read_text() == str(len(words))
    assert alone.done() == ALL and alone.left() == []
    return made.digest


def test_processes_give_the_same(place: Place, digest: str) -> None:
    assert place(sorting(place.log)).results["sorted"].digest == digest
    alone = processes._processors() > 1  # the last task is, and has a process with all threads where there are several
    assert len({*place.pids()} - {os.getpid()}) == 2 + alone
    assert place.done() == ALL and place.left() == []
    told = [one for one in place.events if one["event"] == "progress" and one.get("phase") == "cut"]
    assert [(one["done"], one["total"], one["stage"]) for one in told] == [(n, 3, "sorted") for n in (1, 2, 3)]
    notes = {one["text"] for one in place.events if one["event"] == "note"}
    assert notes == {"part 0", "part 1", "counted"}  # what tasks say, and what libraries warn of


def test_a_location_gives_the_same(place: Place, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(sorting(place.log), place.shared()).results["sorted"].digest == digest
    assert place.done() == ALL and place.left() == []
    other = Place(place.root / "other")
    assert other(sorting(other.log), Choice(location="memory://exchange")).results["sorted"].digest == digest
    monkeypatch.chdir(place.root)
    third = Place(place.root / "third")
    assert third(sorting(third.log), Choice(location="shared")).results["sorted"].digest == digest
    assert third.left() == [] and (place.root / "shared").is_dir()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nothing://here", "the location cannot be used"),
        ("memory://here", "the location cannot be used"),
        ("file:///dev/null/x", "does not answer|disk"),
        ("file:///proc/x", "does not answer|disk"),
    ],
)
def test_a_location_that_is_none_is_named(place: Place, url: str, words: str) -> None:
    with pytest.raises(RegrowError, match=words) as error:
        place(sorting(place.log), Choice(location=url, jobs=2))
    assert url in str(error.value) and error.value.hint


def test_a_location_that_is_none_is_named_before_anything_is_done(place: Place) -> None:
    with pytest.raises(RegrowError, match="the location cannot be used"):
        place(Graph((stage("whole", WRITE),)), Choice(location="nothing://here"))
    assert place.events == []


def test_a_whole_stage_is_done_by_another_process_unless_nobody_else_finds_it(place: Place) -> None:
    seen: list[int] = []
    own = replace(WRITE, name="own", run=lambda call: (seen.append(os.getpid()), phased.WRITE.run(call))[1])
    made = place(Graph((stage("a", phased.WHO), stage("b", own), stage("c", replace(phased.WHO, exact=True)))))
    assert seen == [os.getpid()]
    assert int((made.results["a"].path / "pid").read_text()) != os.getpid()
    assert int((made.results["c"].path / "pid").read_text()) == os.getpid()  # it has threads, and workers, of its own


def test_a_task_that_is_all_there_is_has_all_processors(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    monkeypatch.setattr(processes, "_processors", lambda: 6)
    (made,) = place(Graph((stage("room", phased.ROOM, tasks=4),))).results.values()
    assert (made.path / "0 of 1").read_text() == "6"
    assert {(made.path / f"{index} of 4").read_text() for index in range(4)} == {"3"}


TROUBLES = {
    "kill": "a process was lost|killed.*SIGKILL|--jobs|the same command goes on",
    "leave": "a process was lost|exit code 7|the same command goes on",
    "full": "disk full|cut/.00001|No space left on device|free some space",
    "memory": "out of memory|for 3 GB|--jobs",
    "ours": "no such word|regrow.toml: sort.word|it is not English|write another",
    "fault": "the stage failed|ZeroDivisionError: by zero",
    "odd": "odd 1 2|be even",
}


@pytest.mark.parametrize("what", TROUBLES)
def test_trouble_is_named_and_the_same_command_goes_on(place: Place, digest: str, what: str) -> None:
    graph = sorting(place.log, trouble=f"{what} at cut 1", shards=2)
    with pytest.raises(RegrowError) as error:
        place(graph)
    said = str(error.value)
    for words in TROUBLES[what].split("|"):
        assert re.search(words, said), said
    assert "sort.word" in said or "stage `sorted`" in said
    assert error.value.exit_code == (2 if what in ("ours", "odd") else 1)
    if what == "fault":
        (event,) = (one for one in place.events if one["event"] == "error")
        assert "phased.py" in event["traceback"]  # of the other process
    finished = [path.stem for path in place.root.glob("store/work/*/phases/cut/0*.json")]
    before = place.done()
    made = place(graph)
    assert made.results["sorted"].path.joinpath("tally").read_text() == "61"
    again = place.done()
    assert "00001" not in finished and again["cut 1"] == 1 and before["cut 1"] == 1
    assert all(again[f"cut {int(number)}"] == 0 for number in finished)  # what was finished is not done again
    assert place.left() == []


def killed(place: Place, graph_of: str, choice: str = "Choice()") -> int:
    """Evaluate in a process that gets killed, and return its number."""
    code = f"""
        import os, sys, threading
        from pathlib import Path
        from phased import sorting
        from regrow.engine import Choice, evaluate
        from regrow.store import Store
        root = Path(sys.argv[1])
        (root / "parent").write_text(str(os.getpid()))
        with Store(root / "store") as store:
            evaluate({graph_of}, store, scope="here", listener=lambda _: None, stop=threading.Event(), who={choice})
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, *sys.path]))}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(place.root)], env=environment)
    assert process.wait(120) == -9
    return process.pid


@pytest.mark.parametrize("damage", ["", "flip", "lose", "marker", "add"])
def test_after_a_kill_only_what_is_missing_is_done(place: Place, digest: str, damage: str) -> None:
    killed(place, 'sorting(root / "log", trouble="kill at merge 1")')
    assert place.done() == ALL - Counter(["tally 0"])
    (cut,) = place.root.glob("store/work/*/phases/cut")
    if damage == "flip":
        (cut / "00001" / "lines").write_bytes(b"x" * (cut / "00001" / "lines").stat().st_size)
    elif damage == "lose":
        (cut / "00001" / "lines").unlink()
    elif damage == "marker":
        text = (cut / "00001.json").read_bytes()
        (cut / "00001.json").write_bytes(text[: len(text) // 2])
    elif damage == "add":
        (cut / "00001" / "more").write_text("x")
    made = place(sorting(place.log, trouble="kill at merge 1"), ONE).results["sorted"]
    assert place.done() == Counter(["merge 1", "tally 0", *(["cut 1"] if damage else [])])
    assert (made.path / "tally").read_text() == "61" and place.left() == []


def test_processes_end_with_the_one_that_started_them(place: Place) -> None:
    killed(place, 'sorting(root / "log", trouble="kill parent at cut 1")', "Choice(jobs=2)")
    deadline = time.monotonic() + 20
    while any(map(alive, place.pids())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_stopping_ends_the_processes_soon(place: Place) -> None:
    graph = sorting(place.log, trouble="wait at cut 1")

    def stop() -> None:
        while not Path(f"{place.log}-once").exists():
            time.sleep(0.02)
        place.stop.set()

    threading.Thread(target=stop).start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        place(graph)
    assert time.monotonic() - started < 30
    assert not any(map(alive, {*place.pids()} - {os.getpid()}))
    place.stop.clear()
    place.done()
    place(graph)
    assert place.done()["cut 1"] == 1


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("what", ["lose", "flip", "flip rows"])
def test_a_result_that_is_lost_on_the_way_is_made_again(place: Place, digest: str, what: str, shared: bool) -> None:
    choice = place.shared(ONE) if shared else ONE
    made = place(sorting(place.log, trouble=f"{what} at merge 0"), choice).results["sorted"]
    assert (made.path / "tally").read_text() == "61"
    assert place.done()["cut 1"] == 2
    assert any("`cut/00001` is lost or damaged" in one.get("text", "") for one in place.events)


def test_an_input_that_is_lost_at_the_location_is_taken_there_again(place: Place) -> None:
    graph = sorting(place.log, trouble="fault at cut 1")
    with pytest.raises(StageError, match="by zero"):
        place(graph, place.shared(ONE))
    (text,) = place.root.glob("shared/inputs/*/deep/text.txt")
    text.write_text("something else")
    made = place(graph, place.shared(ONE))
    assert (made.results["sorted"].path / "tally").read_text() == "61"
    assert any("is lost or damaged" in one.get("text", "") for one in place.events)


def test_a_stage_is_lent_the_location_and_what_it_takes_there_is_removed(place: Place) -> None:
    def lending(call: Call[Any]) -> None:
        there, text = call.context.surroundings.place, call.input("text")
        assert there is not None
        elsewhere = Path("/on/another/machine") / text.name
        for _ in range(2):
            there.lend(text)
            with borrowed(there.url, elsewhere) as files:
                assert files is not None
                assert files.read(elsewhere / "deep" / "text.txt", 2, 7) == phased.WORDS.encode()[2:9]
            (lent,) = place.root.glob("shared/inputs/*/deep/text.txt")
            lent.unlink()
            with borrowed(there.url, elsewhere) as files, pytest.raises(StageError, match="lost or damaged"):
                assert files is not None
                files.read(elsewhere / "deep" / "text.txt", 2, 7)
            there.drop(text)  # so that it is taken there anew
        (call.output / "done").touch()

    graph = sorting(place.log)
    one = Graph((graph.stages[0], replace(graph.stages[1], kind=replace(SORT, phases=(), run=lending))))
    place(one, place.shared(ONE))
    assert place.left() == []


def test_two_tasks_that_write_the_same_file_are_named(place: Place) -> None:
    kind = replace(SORT, phases=tuple(replace(phase, kept=True) for phase in SORT.phases))
    for choice in (ONE, place.shared(ONE)):
        graph = sorting(place.log)
        with pytest.raises(StageError, match=r"two tasks have written `(lines|offsets)`"):
            place(Graph((graph.stages[0], replace(graph.stages[1], kind=kind))), choice)


def test_running_again_from_nothing_does_all_tasks(place: Place, digest: str) -> None:
    graph = sorting(place.log)
    with Store(place.root / "store") as store:
        made = evaluate(graph, store, scope="here", listener=place.hear, stop=place.stop)
        place.done()
        assert rerun(graph["sorted"], made, store, listener=place.hear, stop=place.stop) == digest
    assert place.done() == ALL


def test_shares_of_phases_done_by_hand(place: Place, digest: str) -> None:
    graph = sorting(place.log)

    def do(phase: str, index: int, of: int) -> bool:
        options = {"listener": place.hear, "stop": place.stop}
        return share(graph, store, "sorted", phase, index=index, of=of, **options)

    with Store(place.root / "store") as store:
        with pytest.raises(StageError, match="stage `text` is not built yet"):
            do("cut", 0, 1)
        evaluate(graph, store, scope="here", listener=place.hear, stop=place.stop, only=["text"])
        do("cut", 1, 2)
        assert place.done() == Counter(["cut 1"])
        with pytest.raises(StageError, match=r"`cut` 1 of 3 is not done yet(.|\n)*regrow task RECIPE sorted cut"):
            do("merge", 0, 1)
        for index in range(8):
            do("cut", index, 8)  # more shares than tasks
        assert place.done() == Counter(["cut 0", "cut 2"])
        do("merge", 0, 1)
        do("tally", 0, 1)
        made = evaluate(graph, store, scope="here", listener=place.hear, stop=place.stop)
        assert made.results["sorted"].digest == digest
        assert place.done() == Counter(["merge 0", "merge 1", "tally 0"])
        assert do("cut", 0, 1) is False


def tasks(place: Place, token: str = "") -> Tasks:
    """The cutting of words that lie in a folder."""
    text = place.root / "text"
    (text / "deep").mkdir(parents=True)
    (text / "deep" / "text.txt").write_text(phased.WORDS)
    parameters = phased.Sort(log=str(place.log))
    call = Call("sorted", parameters, {"text": (text,)}, place.root, place.root, Nobody(Surroundings()))
    shelf = FolderShelf(place.root / "phases")
    if token:
        shelf.say(token)
    return Tasks(phased.cut, call, "0" * 64, "cut", 3, {}, shelf, ("numpy",))


def ordered(work: Tasks, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    order = {"module": "phased", "libraries": ["numpy"], "identity": identity(work), "token": "abc", "words": "cutting"}
    return {**order, "work": packed(work), **(changes or {})}


def test_another_machine_does_a_task_and_answers(place: Place) -> None:
    word, error, told = perform(ordered(tasks(place, "abc")), 1)
    assert (word, error, told) == ("done", None, [])
    assert (place.root / "phases" / "cut" / "00001" / "lines").is_file()


@pytest.mark.parametrize("name", ["regrow", "numpy", "code of phased"])
def test_another_machine_with_something_else_is_named(place: Place, name: str) -> None:
    work = tasks(place, "abc")
    order = ordered(work, {"identity": {**identity(work), name: "0.0.1"}, "work": b"never looked at"})
    word, error, _ = perform(order, 0)
    assert word == "failed" and f"has another {name} than this build" in str(error) and "0.0.1, there" in str(error)


def test_another_machine_that_does_not_see_the_shelf_is_named(place: Place) -> None:
    for token in ("", "another"):
        work = (
            replace(tasks(place, token), shelf=FolderShelf(place.root / f"{token}-phases")) if token else tasks(place)
        )
        word, error, _ = perform(ordered(work), 0)
        assert word == "failed" and "does not see what this build has written" in str(error)
        assert "--location" in str(error)
        for path in sorted(place.root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("version", ["", "0.0.1"])
def test_a_worker_without_this_regrow_says_so(tmp_path: Path, version: str) -> None:
    """What travels is code, which runs where none of our modules is."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    (tmp_path / "piece").write_bytes(cloudpickle.dumps(_piece()))
    if version:
        (tmp_path / "regrow").mkdir()
        (tmp_path / "regrow" / "__init__.py").touch()
        (tmp_path / "regrow" / "version.py").write_text(f"__version__ = {version!r}\n")
    site = str(Path(cloudpickle.__file__).parents[2])
    code = f"""
        import sys, json
        sys.path = [{str(tmp_path)!r}, *(one for one in sys.path if one), {site!r}]
        class Ours:
            def find_spec(self, name, path=None, target=None):
                if name == "regrow" and {not version}:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Ours())
        from ray import cloudpickle
        print(json.dumps(cloudpickle.load(open("piece", "rb"))({{}}, 0)))
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    word, content, _ = json.loads(done.stdout)
    assert word == "absent" and content[2].startswith(version) and bool(content[2]) == bool(version)


def test_errors_cross_processes_whole() -> None:
    error = RecipeError("what", where="where", why="why", hint="hint")
    found = pickle.loads(pickle.dumps(plain(error, "elsewhere")))
    assert (type(found), found.what, found.where, found.why, found.hint) == (
        RecipeError,
        "what",
        "where",
        "why",
        "hint",
    )
    odd = plain(phased.OddError(1, 2), "elsewhere")
    assert (type(odd), odd.what, odd.where, odd.hint) == (RecipeError, "odd 1 2", "elsewhere", "be even")


def test_a_thousand_tiny_tasks_take_seconds(place: Place) -> None:
    started = os.times()
    place(Graph((stage("many", TINY),)))
    ended = os.times()
    ours = ended.user + ended.system - started.user - started.system
    theirs = ended.children_user + ended.children_system - started.children_user - started.children_system
    assert ours + theirs < 10


def test_a_script_for_slurm_has_an_array_for_each_phase(tmp_path: Path) -> None:
    text = script(sorting(tmp_path / "log"), tmp_path, tmp_path / "my store", name="m", jobs=4)
    lines = text.splitlines()
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert f"export REGROW_STORE='{tmp_path}/my store'" in lines
    assert f"regrow task {tmp_path} text" in lines  # what may need the network is done at once
    arrays = [line for line in lines if "--array 0-3" in line]
    assert [re.search(r"--job-name (\S+)", line)[1] for line in arrays] == [
        "m-sorted-cut",
        "m-sorted-merge",
        "m-sorted-tally",
    ]
    assert "--dependency afterok:$job1_0 " in arrays[1] and "--dependency afterok:$job1_1 " in arrays[2]
    assert lines[-1].startswith("submit --job-name m --dependency afterok:$job1 --wrap")
    assert "regrow build" in lines[-1]


def test_whether_the_machine_killed_for_memory_is_seen(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "vmstat").write_text("pgfault 12\noom_kill 3\n")
    assert memory_kills(tmp_path) == 3


@pytest.mark.parametrize(("before", "now", "words"), [(3, 4, "ran out of memory"), (3, 3, "somebody killed it")])
def test_a_kill_for_memory_is_told_from_others(
    monkeypatch: pytest.MonkeyPatch, before: int, now: int, words: str
) -> None:
    counts = iter([before, now])
    monkeypatch.setattr("regrow.engine.runners.faults.memory_kills", lambda: next(counts))
    error = Lives().ended(-9, "stage `clean`")
    assert words in str(error) and "--jobs" in str(error) and "the same command goes on" in str(error)


HELD = """
import sys
from dataclasses import dataclass
from pathlib import Path
import pyarrow
from regrow.engine.runners import Whole

def held():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024

@dataclass(frozen=True)
class Call:
    context: object = None

def run(call):
    [pyarrow.array(["x" * 1000] * 1000) for _ in range(200)]

before = held()
Whole(run, Call())(0, None)
print(held() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory is used")
def test_what_a_stage_held_is_not_kept_for_the_next() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120e6, "200 MB of text and more were in memory"
