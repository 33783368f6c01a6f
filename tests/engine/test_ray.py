"""Tasks of Ray on two nodes of a cluster: python -m pytest tests/engine/test_ray.py -m slow"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phased
import pytest
from phased import sorting
from test_runners import Place as Alone
from test_runners import killed

from regrow.engine import Choice
from regrow.errors import InputError, Interrupted, RegrowError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

RAY = Choice("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(Path(__file__).parent), *(path for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
        patch.setenv("PYTHONPATH", ":".join(paths))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
        found.add_node(num_cpus=1, object_store_memory=80 << 20)
        ray.init(address=found.address, log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()


class Place:
    """A place of the other tests, in which words are sorted."""

    def __init__(self, root: Path) -> None:
        self.alone = Alone(root)
        self.root, self.log = root, self.alone.log
        self.stop, self.events = self.alone.stop, self.alone.events

    def __call__(self, who: Choice, **parameters: Any) -> str:
        return self.alone(sorting(self.log, **parameters), who).results["sorted"].digest

    def done(self) -> list[str]:
        return sorted(self.alone.done().elements())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(Place(tmp_path_factory.mktemp("alone"))(Choice()))


ALL = sorted(["cut 0", "cut 1", "cut 2", "merge 0", "merge 1", "tally 0"])


@pytest.mark.parametrize("shared", [False, True])
def test_two_nodes_give_the_same(cluster: Any, place: Place, digest: str, shared: bool) -> None:
    choice = Choice("ray", location=f"file://{place.root}/shared" if shared else "")
    assert place(choice) == digest
    assert place.done() == ALL
    assert {one["text"] for one in place.events if one["event"] == "note"} >= {"part 0", "part 1"}
    assert [one["done"] for one in place.events if one.get("phase") == "cut"] == [1, 2, 3]


def test_a_task_that_is_killed_is_done_again(cluster: Any, place: Place) -> None:
    place(RAY, trouble="kill at cut 1")
    assert place.done() == sorted([*ALL, "cut 1"])


def test_errors_of_tasks_arrive_whole(cluster: Any, place: Place) -> None:
    with pytest.raises(RegrowError, match="no such word") as error:
        place(RAY, trouble="ours at cut 1")
    assert (error.value.where, error.value.exit_code) == ("regrow.toml: sort.word", 2)
    place.done()
    place(RAY, trouble="ours at cut 1")
    assert "cut 1" in place.done()


def test_stopping_calls_tasks_off(cluster: Any, place: Place) -> None:
    def stop() -> None:
        while not Path(f"{place.log}-once").exists():
            time.sleep(0.05)
        place.stop.set()

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted):
        place(RAY, trouble="wait at cut 0")


def test_a_node_that_is_lost_has_its_tasks_done_by_others(cluster: Any, place: Place) -> None:
    node = cluster.add_node(num_cpus=4, object_store_memory=80 << 20)

    def lose() -> None:
        while not place.log.exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    place(RAY, cuts=12, seconds=0.5)
    loser.join()
    assert {*place.done()} == {*(f"cut {index}" for index in range(12)), "merge 0", "merge 1", "tally 0"}


def test_after_a_kill_only_what_is_missing_is_done(cluster: Any, place: Place) -> None:
    killed(place.alone, 'sorting(root / "log", trouble="kill parent at merge 1")', 'Choice("ray")')
    assert set(place.done()) == {*ALL} - {"tally 0"}
    place(RAY, trouble="kill parent at merge 1")
    assert place.done() == ["merge 1", "tally 0"]


def test_no_cluster_is_named(place: Place) -> None:
    import subprocess
    import sys
    import textwrap

    code = """
        import sys, threading
        from pathlib import Path
        from phased import sorting
        from regrow.engine import Choice, evaluate
        from regrow.errors import RegrowError
        from regrow.store import Store
        root = Path(sys.argv[1])
        with Store(root / "store") as store:
            try:
                who = Choice("ray", address="127.0.0.1:1")
                evaluate(sorting(root / "log"), store, scope="", listener=id, stop=threading.Event(), who=who)
            except RegrowError as error:
                sys.exit(str(error))
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(code), str(place.root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "there is no Ray cluster at 127.0.0.1:1" in done.stderr and "--address or RAY_ADDRESS" in done.stderr
    assert done.returncode == 1 and InputError.exit_code == 6 and phased.SORT.phases
