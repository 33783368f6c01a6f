"""The promise: ``examples/tiny`` gives the digest in its lock under every circumstance that must not matter."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import regrow
from regrow.model.sampling import Sampling, generate
from regrow.recipe.lock import load

TINY = Path(__file__).parents[1] / "examples" / "tiny"
SOURCE = str(Path(regrow.__file__).parents[1])

CIRCUMSTANCES = {
    "saturating int8 products": {"ONEDNN_MAX_CPU_ISA": "AVX2", "REGROW_CARRIER": "int8"},
    "baseline vector units, float32 products": {"ATEN_CPU_CAPABILITY": "default", "REGROW_CARRIER": "float32"},
    "AVX2, float64 products": {"ATEN_CPU_CAPABILITY": "avx2", "REGROW_CARRIER": "float64"},
}
SOMEBODY = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "PYTHONHASHSEED": "12345",
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "USER": "somebody",
    "LOGNAME": "somebody",
    "HOME": "/nonexistent",
}


def command(folder, *options):
    release, store = folder / "release", folder / "store"
    return [
        sys.executable, "-m", "regrow.cli", "build", str(TINY), "--locked", "--offline",
        "--output", str(release), "--store", str(store), *options,
    ]  # fmt: skip


def environment(**changes):
    return {**os.environ, "PYTHONPATH": SOURCE, **changes}


def build(folder, *options, **changes):
    return subprocess.run(
        command(folder, *options), env=environment(**changes), cwd=folder, capture_output=True, text=True
    )


def promised():
    return load(TINY).release


def assert_same(run):
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-1] == promised()
    assert "equals" in run.stderr


@pytest.mark.slow  # minutes for all of it; tests/exact/test_library.py takes a few steps
@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_the_arithmetic_does_not_matter(name, tmp_path):
    assert_same(build(tmp_path, **CIRCUMSTANCES[name]))


@pytest.mark.slow
def test_the_definition_gives_the_same(tmp_path):
    assert_same(build(tmp_path, REGROW_BACKEND="reference", REGROW_CARRIER="float64"))


@pytest.mark.slow  # tests/model/test_config.py trains on one thread and on two; the lock was made on more
def test_one_thread_gives_the_same(tmp_path):
    assert_same(build(tmp_path, "--threads", "1"))


def wait_for_step(folder, run, step):
    """Wait until training has passed a step."""
    events = folder / "release.events.jsonl"
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and run.poll() is None:
        lines = events.read_text().splitlines() if events.is_file() else []
        for line in reversed(lines[:-1] if lines and not lines[-1].endswith("}") else lines):
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] == "pretrain" and event["done"] >= step:
                return
        time.sleep(0.02)
    raise AssertionError(f"training did not reach step {step}: {run.poll()}")


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """A folder with a release and the store of its build, and how that ended: by somebody else with another environment
    and other permissions, on two threads, and interrupted twice. Neither is to be changed.
    """
    elsewhere = tmp_path_factory.mktemp("all") / "ein Ort, größer als man denkt"
    elsewhere.mkdir()
    theirs = {"args": command(elsewhere, "--threads", "2"), "env": environment(**SOMEBODY), "cwd": "/", "umask": 0o077}
    for how, code, step in ((signal.SIGKILL, -signal.SIGKILL, 30), (signal.SIGINT, 130, 60)):
        run = subprocess.Popen(**theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_step(elsewhere, run, step)
        run.send_signal(how)
        assert run.wait(timeout=60) == code
        assert not (elsewhere / "release").exists()
    return elsewhere, subprocess.run(**theirs, capture_output=True, text=True)


def test_threads_folder_store_permissions_somebody_elses_environment_and_interruptions_do_not_matter(disturbed):
    """All at once: the lock was made where nothing of this was so, so none of it counts."""
    assert_same(disturbed[1])


def test_a_flipped_byte_in_the_store_is_found_and_mended(disturbed, tmp_path):
    store = shutil.copytree(disturbed[0] / "store", tmp_path / "store")
    digest = load(TINY).outputs["tokenize"]
    shard = store / "artifacts" / digest[:2] / digest / "train.bin"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    run = build(tmp_path)
    assert "damaged" in run.stderr.lower()
    assert_same(run)


def test_transformers_loads_the_release_and_writes_the_same(disturbed):
    import torch

    from regrow.serve.generate import Generator

    transformers = pytest.importorskip("transformers")
    release = disturbed[0] / "release"
    model = transformers.AutoModelForCausalLM.from_pretrained(release, dtype=torch.float32, trust_remote_code=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(release, trust_remote_code=False)
    ours = Generator.load(release)
    ids = tokenizer("The old man", return_tensors="pt").input_ids
    assert ids[0].tolist() == ours.tokenizer.prompt("The old man")
    with torch.no_grad():
        difference = model(ids).logits - ours.decoder.logits(ours.parameters, ids)
    assert float(difference.abs().max()) < 1e-3
    room = ours.decoder.config.context - ids.shape[1]
    seen = torch.ones_like(ids)  # without an end there, what fills up is told from what begins by this alone
    written = model.generate(ids, attention_mask=seen, max_new_tokens=min(64, room), do_sample=False, eos_token_id=None)
    sampling = Sampling(temperature=0.0)
    greedy = list(generate(ours.decoder, ours.parameters, ids[0].tolist(), min(64, room), sampling))
    assert written[0, ids.shape[1] :].tolist() == greedy
