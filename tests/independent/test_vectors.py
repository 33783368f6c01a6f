"""The second implementation gives the known answers of docs/arithmetic. No part of ``regrow`` runs here.

python -m pytest tests/independent/test_vectors.py
"""

import ast
import hashlib
import json
from math import prod
from pathlib import Path

import numpy as np
import pytest

from . import arithmetic, decoder, evaluation, layers, library, training

FOLDER = Path(__file__).parents[2] / "docs" / "arithmetic"


def known():
    """All known answers."""
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        assert document["arithmetic"] == 1
        yield from document["vectors"]


def read(value):
    """An input as the document says it."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict) or "type" not in value:
        return {name: read(item) for name, item in value.items()} if isinstance(value, dict) else value
    kind = np.dtype(value["type"])
    if "bits" in value:
        words = np.array([int(word, 16) for word in value["bits"].split()], f"u{kind.itemsize}")
        return words.view(kind).reshape(value["shape"])
    maker = "normals" if "normals" in value else "uniforms"
    seed, purpose = value[maker]
    made = getattr(arithmetic, maker)(seed, purpose, prod(value["shape"])) * value["factor"]
    return made.astype(kind).reshape(value["shape"])


def said(x):
    """A result as the document says it."""
    if isinstance(x, dict):
        return {name: said(item) for name, item in x.items()}
    if not isinstance(x, np.ndarray | np.generic) or x.dtype == np.int64:
        return x.tolist() if isinstance(x, np.ndarray) else x
    x = np.asarray(x)
    if x.dtype.kind == "f":
        x = np.where(np.isnan(x), x.dtype.type(np.nan), x + x.dtype.type(0))
    told = {"type": x.dtype.name, "shape": list(x.shape)}
    if x.size > 64:
        return told | {"sha256": hashlib.sha256(x.astype(x.dtype.newbyteorder("<")).tobytes()).hexdigest()}
    words = x.ravel().view(f"u{x.itemsize}").tolist()
    return told | {"bits": " ".join(f"{word:0{2 * x.itemsize}x}" for word in words)}


def digits(x):
    e = arithmetic.exponent(x, 1)
    n = arithmetic.on_grid(x, e, 13).astype(np.int64)
    low = arithmetic.low(n).astype(np.int64)
    return {"e": e[:, 0], "high": (n - low) // 128, "low": low}


def linear(x, w, dy, b=None):
    y, (dx, dw) = layers.linear(x, w), layers.linear_backward(dy, x, w)
    if b is None:
        return {"y": y, "dx": dx, "dw": dw}
    return {"y": y + b, "dx": dx, "dw": dw, "db": np.float32(arithmetic.grid_sum(dy, 0))}


def low_rank(x, w, a, b, dy):
    y, h = layers.low_rank(x, w, a, b)
    return {"y": y, **dict(zip(("dx", "da", "db"), layers.low_rank_backward(dy, x, w, a, b, h), strict=True))}


def rms_norm(x, gain, epsilon, dy):
    y, inverse = layers.rms_norm(x, gain, epsilon)
    dx, dgain = layers.rms_norm_backward(dy, x, gain, inverse)
    return {"y": y, "dx": dx, "dgain": dgain}


def layer_norm(x, gain, bias, epsilon, dy):
    y, n, inverse = library.layer_norm(x, gain, bias, epsilon)
    dx, dgain, dbias = library.layer_norm_backward(dy, gain, n, inverse)
    return {"y": y, "dx": dx, "dgain": dgain, "dbias": dbias}


def softmax(x, dy):
    y = library.softmax(x)
    return {"y": y, "dx": library.softmax_backward(dy, y)}


def silu(x, dy):
    y, slope = library.silu(x)
    return {"y": y, "dx": dy * slope}


def gelu(x, approximate, dy):
    y, slope = {"none": library.gelu, "tanh": library.gelu_by_tanh}[approximate](x)
    return {"y": y, "dx": dy * slope}


def rotate(x, cosine, sine, dy):
    return {"y": layers.rotate(x, cosine, sine), "dx": layers.rotate(dy, cosine, -sine)}


def attention(q, k, v, dy):
    y, kept = layers.attention(q, k, v)
    return dict(zip(("y", "dq", "dk", "dv"), (y, *layers.attention_backward(dy, kept)), strict=True))


def norm(gradients, limit):
    length = training.norm(gradients)
    return {"norm": np.float64(length), "clip": np.float64(training.clip_factor(length, limit))}


def adamw(p, g, m, v, step, learning_rate, clip, **settings):
    run = training.Run(**EMPTY_RUN | settings)
    return dict(zip("pmv", training.adamw(run, step, learning_rate, clip, p, g, m, v), strict=True))


def clip(gradients, limit):
    length, scaled = library.clip(gradients, limit)
    return {"norm": np.float64(length)} | {str(i): g for i, g in enumerate(scaled)}


EMPTY_RUN = dict.fromkeys(training.Run.__dataclass_fields__, 0)


def initial(shape, seed):
    return decoder.initial(decoder.Shape(**shape), seed)


def loss_and_gradients(shape, seed, tokens):
    loss, gradients = decoder.loss_and_gradients(decoder.Shape(**shape), initial(shape, seed), np.array(tokens))
    return {"loss": loss, **gradients}


def logits(shape, seed, tokens):
    return {"logits": decoder.logits(decoder.Shape(**shape), initial(shape, seed), np.array(tokens)[:, :-1])}


def generate(shape, prompt, seed, **settings):
    return {
        "tokens": evaluation.generate(decoder.Shape(**shape), initial(shape, SEED), prompt, seed=seed, **settings)
    }  # fmt: skip


SEED = 1


def weights_file(shape, seed):
    data = training.weights_file(decoder.Shape(**shape), initial(shape, seed))
    return {"sha256": hashlib.sha256(data).hexdigest()}


def train(shape, run, batches):
    shape, run = decoder.Shape(**shape), training.Run(**run)
    state = training.State(decoder.initial(shape, run.seed))
    state.link()
    for batch in batches:
        training.step(shape, run, state, np.array(batch))
        state.link()
    return {"losses": state.losses, "chain": state.chain}


def rate(run):
    run = training.Run(**run)
    return {"rates": np.array([training.rate(run, step) for step in range(1, run.steps + 1)])}


def choose(logits, draws, **settings):
    return {"tokens": [evaluation.choose(logits, draw, **settings) for draw in draws]}


def y(function):
    return lambda **given: {"y": function(**given)}


def pair(function, first, second):
    return lambda **given: dict(zip((first, second), function(**given), strict=True))


DOES = {
    "integers": y(lambda **given: np.array(arithmetic.integers(**given), np.uint64)),
    "uniforms": y(arithmetic.uniforms),
    "normals": y(arithmetic.normals),
    "normal": y(library.normal),
    "uniform": y(library.uniform),
    "permutation": y(lambda **given: np.array(library.permutation(**given))),
    "exp32": y(arithmetic.exp32),
    "exp64": y(arithmetic.exp64),
    "log64": y(arithmetic.log64),
    "sin_cos64": pair(arithmetic.sin_cos64, "sine", "cosine"),
    "sin_cos_turns64": pair(arithmetic.sin_cos_turns64, "sine", "cosine"),
    "power": y(lambda base, n: np.float64(arithmetic.power(base, n))),
    "digits": digits,
    "S": y(arithmetic.grid_sum),
    "linear": linear,
    "low_rank": low_rank,
    "rms_norm": rms_norm,
    "swiglu": lambda x, dy: {"y": layers.swiglu(x), "dx": layers.swiglu_backward(dy, x)},
    "rotate": rotate,
    "embedding_backward": lambda **given: {"dw": layers.embedding_backward(**given)},
    "attention": attention,
    "linear_cross_entropy": lambda **g: dict(zip(("loss", "dx", "dw"), layers.linear_cross_entropy(**g), strict=True)),
    "linear_distillation": lambda **g: dict(zip(("loss", "dx", "dw"), layers.linear_distillation(**g), strict=True)),
    "layer_norm": layer_norm,
    "softmax": softmax,
    "silu": silu,
    "gelu": gelu,
    "mean": lambda x, dy: {"y": arithmetic.mean(x), "dx": library.mean_backward(dy, x)},
    "cross_entropy": pair(library.cross_entropy, "loss", "dlogits"),
    "mean_gradient": y(lambda parts: training.mean_gradient(parts)),
    "norm": norm,
    "adamw": adamw,
    "AdamW": lambda **given: dict(zip("pmv", library.adamw(**given), strict=True)),
    "clip_grad_norm_": clip,
    "ordered_linear": y(lambda x, w: arithmetic.ordered_product(x, arithmetic.turned(w))),
    "coded_linear": y(arithmetic.coded_product),
    "ordered_attention": y(layers.ordered_attention),
    "order": lambda count, **g: {"windows": [training.window_at(place=i, count=count, **g) for i in range(count)]},
    "step_windows": lambda **given: {"windows": training.step_windows(**given)},
    "rate": rate,
    "initial": initial,
    "rotary_tables": lambda shape: pair(decoder.rotary_tables, "cosine", "sine")(shape=decoder.Shape(**shape)),
    "loss_and_gradients": loss_and_gradients,
    "logits": logits,
    "generate": generate,
    "weights_file": weights_file,
    "train": train,
    "choose": choose,
    "logprobs": y(lambda logits: evaluation.logprobs(logits)),
}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # answers of NaN are asked for
@pytest.mark.parametrize("vector", list(known()), ids=lambda vector: f"{vector['does']} {vector['name']}")
def test_known_answer(vector):
    assert said(DOES[vector["does"]](**read(vector["given"]))) == vector["gives"]


def test_every_part_has_known_answers():
    assert {vector["does"] for vector in known()} == set(DOES)


def test_the_second_implementation_stands_alone():
    for module in (arithmetic, layers, library, decoder, training, evaluation):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {name.partition(".")[0] for name in names} <= {"dataclasses", "hashlib", "json", "math", "numpy"}
