"""Order, schedule, optimizer, state and files, from docs/arithmetic.md alone."""

import hashlib
import json
import math
from dataclasses import dataclass, field

import numpy as np

from .arithmetic import MASK, exponent, f32, f64, grid_sum, mean, on_grid, power, sin_cos_turns64, two
from .decoder import initial, loss_and_gradients

GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Run:
    """A training run."""

    steps: int
    micro_batch: int
    micro_batches_per_step: int
    learning_rate: float
    warmup: int
    decay: str
    final_learning_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float
    clip: float
    seed: int
    checkpoint_every: int
    snapshots: int = 0
    validate_every: int = 0

    @staticmethod
    def of_recipe(train, context):
        """The run of a recipe's ``[train]`` table with all defaults made explicit."""
        train = dict(train)
        steps = train.pop("tokens") // (train["micro_batch"] * train["micro_batches_per_step"] * context)
        train["warmup"] = max(1, int(steps * train["warmup"]))
        train["final_learning_rate"] = train["learning_rate"] * train["final_learning_rate"]
        return Run(steps=steps, **train)


def rate(run, step):
    """The learning rate of a step, from 1."""
    if step <= run.warmup:
        return run.learning_rate * step / run.warmup
    if run.decay == "constant":
        return run.learning_rate
    done = (step - run.warmup) / max(1, run.steps - run.warmup)
    if run.decay == "cosine":
        _, cosine = sin_cos_turns64(np.array([done / 2.0]))
        done = (1.0 - float(cosine[0])) / 2.0
    return run.learning_rate + (run.final_learning_rate - run.learning_rate) * done


def mix(x):
    """The finaliser of SplitMix64."""
    x &= MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def window_at(seed, epoch, place, count):
    """The window that an epoch visits at a place."""
    half = (max(2, (count - 1).bit_length()) + 1) // 2
    state = mix(mix(seed + GOLDEN) + epoch)
    while True:
        left, right = divmod(place, 2**half)
        for turn in range(1, 9):
            left, right = right, left ^ (mix(right ^ mix(state + turn * GOLDEN)) % 2**half)
        place = left * 2**half + right
        if place < count:
            return place


def step_windows(seed, step, windows_per_step, count):
    """The windows of a step, from 1."""
    places = range((step - 1) * windows_per_step, step * windows_per_step)
    return [window_at(seed, place // count, place % count, count) for place in places]


def batch(row, run, step, context):
    """The sequences of a step, from 1: ``(B, context + 1)``."""
    size = run.micro_batch * run.micro_batches_per_step
    windows = step_windows(run.seed, step, size, (len(row) - 1) // context)
    return np.stack([row[w * context : (w + 1) * context + 1] for w in windows]).astype(np.int64)


def mean_gradient(gradients):
    """The mean over micro-batches; a vector is one row."""
    rows = np.stack([np.atleast_2d(g) for g in gradients])
    e = exponent(rows, (0, 2))
    total = on_grid(rows, e, 24).astype(np.int64).sum(0).astype(f64)
    return f32((total * (two(e[0]) * 2.0**-24)) / f64(len(gradients))).reshape(gradients[0].shape)


def norm(gradients):
    """The norm over all parameters."""
    total = 0.0
    for name in sorted(gradients):
        total += float(grid_sum(np.ravel(gradients[name] * gradients[name]), 0))
    return math.sqrt(total)


def clip_factor(length, limit):
    """What gradients are multiplied with."""
    return limit / length if 0.0 < limit < length else 1.0


def adamw(run, step, learning_rate, clip, p, g, m, v):
    """New parameter and moments."""
    keep = 1.0 - learning_rate * run.weight_decay if p.ndim > 1 else 1.0
    return update(step, learning_rate, keep, (run.beta1, run.beta2), run.epsilon, p, g * f32(clip), m, v)


def update(step, learning_rate, keep, betas, epsilon, p, g, m, v):
    """The same of a clipped gradient and a given decay."""
    beta1, beta2 = betas
    m = m * f32(beta1) + g * f32(1.0 - beta1)
    v = v * f32(beta2) + (g * g) * f32(1.0 - beta2)
    first, second = m / f32(1.0 - power(beta1, step)), v / f32(1.0 - power(beta2, step))
    u = first / (np.sqrt(second) + f32(epsilon))
    return p * f32(keep) - u * f32(learning_rate), m, v


@dataclass
class State:
    """All that the rest of a run depends on."""

    parameters: dict
    step: int = 0
    first: dict = field(default_factory=dict)
    second: dict = field(default_factory=dict)
    losses: list = field(default_factory=list)
    chain: list = field(default_factory=list)
    kept: dict = field(default_factory=dict)

    def __post_init__(self):
        self.first = {name: np.zeros_like(p) for name, p in self.parameters.items()}
        self.second = {name: np.zeros_like(p) for name, p in self.parameters.items()}

    def digest(self):
        """The digest of the state."""
        found = hashlib.sha256(f"step {self.step}\n".encode())
        for part, tensors in (("parameter", self.parameters), ("first", self.first), ("second", self.second)):
            for name, x in sorted(tensors.items()):
                size = f"({x.shape[0]},)" if x.ndim == 1 else f"({x.shape[0]}, {x.shape[1]})"
                found.update(f"{part} {name} {size}\n".encode())
                for chunk in chunks(x):
                    found.update(hashlib.sha256(canonical(chunk)).hexdigest().encode() + b"\n")
        return found.hexdigest()

    def link(self):
        """One more link of the chain."""
        state, before = self.digest(), self.chain[-1] if self.chain else {"chain": "", "step": 0}
        noted = ("sample", "validation_loss")
        records = [{k: v for k, v in one.items() if k not in noted} for one in self.losses[before["step"] :]]
        lines = (json.dumps(record, sort_keys=True) + "\n" for record in records)
        records = hashlib.sha256("".join(lines).encode()).hexdigest()
        chain = hashlib.sha256((before["chain"] + state + records).encode()).hexdigest()
        self.chain.append({"chain": chain, "records": records, "state": state, "step": self.step})


def chunks(x):
    """Rows of a tensor whose bytes are hashed together; a vector is one row."""
    x = np.atleast_2d(x)
    rows = max(1, 2**20 // (4 * x.shape[1]))
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def canonical(x):
    """Little-endian bytes without negative zeros."""
    return (x + f32(0)).astype("<f4").tobytes()


def step(shape, run, state, tokens):
    """One step, in place."""
    number, parts = state.step + 1, []
    for i in range(run.micro_batches_per_step):
        micro_batch = tokens[i * run.micro_batch : (i + 1) * run.micro_batch]
        parts.append(loss_and_gradients(shape, state.parameters, micro_batch))
    loss = mean(np.array([loss for loss, _ in parts], f32))
    gradients = {name: mean_gradient([g[name] for _, g in parts]) for name in state.parameters}
    length, learning_rate = norm(gradients), rate(run, number)
    clip = clip_factor(length, run.clip)
    for name, g in gradients.items():
        state.parameters[name], state.first[name], state.second[name] = adamw(
            run, number, learning_rate, clip, state.parameters[name], g, state.first[name], state.second[name]
        )
    state.step = number
    batch = hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()
    state.losses.append(
        {"batch": batch, "gradient_norm": length, "learning_rate": learning_rate, "loss": float(loss), "step": number}
    )  # fmt: skip


def train(shape, run, row, steps=None, measure=lambda state: {}):
    """The state after some steps, by default all, with what is measured where the run says so."""
    state = State(initial(shape, run.seed))
    state.link()
    while state.step < (steps or run.steps):
        step(shape, run, state, batch(row, run, state.step + 1, shape.context))
        if state.step % run.checkpoint_every == 0 or state.step == run.steps:
            state.link()
        if state.step in (run.steps * k // (run.snapshots + 1) for k in range(1, run.snapshots + 1)):
            state.kept[state.step] = {name: p.copy() for name, p in state.parameters.items()}
        if run.validate_every and state.step % run.validate_every == 0 and state.step < run.steps:
            state.losses[-1] |= measure(state)
    return state


def published(shape, parameters):
    """Parameters by the names, and in the pieces, of the weights file."""
    found = {"model.embed_tokens.weight": parameters["embed"], "model.norm.weight": parameters["norm"]}
    if not shape.tied_embeddings:
        found["lm_head.weight"] = parameters["head"]
    head = shape.width // shape.heads
    cuts = shape.heads * head, (shape.heads + shape.kv_heads) * head
    for i in range(shape.layers):
        ours, theirs = f"layers.{i:03}", f"model.layers.{i}"
        q, k, v = np.split(parameters[f"{ours}.attention.qkv"], cuts)
        gate, up = np.split(parameters[f"{ours}.mlp.gate_up"], 2)
        found |= {
            f"{theirs}.input_layernorm.weight": parameters[f"{ours}.attention.norm"],
            f"{theirs}.self_attn.q_proj.weight": q,
            f"{theirs}.self_attn.k_proj.weight": k,
            f"{theirs}.self_attn.v_proj.weight": v,
            f"{theirs}.self_attn.o_proj.weight": parameters[f"{ours}.attention.out"],
            f"{theirs}.post_attention_layernorm.weight": parameters[f"{ours}.mlp.norm"],
            f"{theirs}.mlp.gate_proj.weight": gate,
            f"{theirs}.mlp.up_proj.weight": up,
            f"{theirs}.mlp.down_proj.weight": parameters[f"{ours}.mlp.down"],
        }
    return found


def weights_file(shape, parameters):
    """The bytes of ``model.safetensors``."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in sorted(published(shape, parameters).items()):
        part = canonical(x)
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def json_lines(records):
    """The bytes of ``losses.jsonl`` and ``chain.jsonl``."""
    return "".join(json.dumps(record, sort_keys=True) + "\n" for record in records).encode()


def json_page(value):
    """The bytes of the other JSON files."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def described(shape, end_of_text):
    """What ``config.json`` says."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_of_text,
        "dtype": "float32",
        "eos_token_id": end_of_text,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.hidden,
        "max_position_embeddings": shape.context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_parameters": {"rope_theta": shape.rope_theta, "rope_type": "default"},
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tied_embeddings,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }


def artifact_digest(shape, state, end_of_text):
    """The digest of the artifact that training gives."""
    files = {"chain.jsonl": json_lines(state.chain), "losses.jsonl": json_lines(state.losses)}
    files |= model_files(shape, state.parameters, end_of_text)
    for step, parameters in state.kept.items():
        for name, data in model_files(shape, parameters, end_of_text).items():
            files[f"checkpoints/step-{step:09}/{name}"] = data
    return digest_of_files(files)


def model_files(shape, parameters, end_of_text):
    """What others load."""
    sampled = {"bos_token_id": end_of_text, "do_sample": True, "eos_token_id": end_of_text, "temperature": 0.8}
    return {
        "config.json": json_page(described(shape, end_of_text)),
        "generation_config.json": json_page(sampled),
        "model.safetensors": weights_file(shape, parameters),
    }


def digest_of_files(files):
    """The digest of a directory."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return hashlib.sha256(sums.encode()).hexdigest()
