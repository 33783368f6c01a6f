"""The known answers notice who misreads the definition: each line below is read wrongly once, and some answer differs.

python -m pytest tests/independent/test_misreadings.py -m slow
"""
# ruff: noqa: E501

import importlib
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from .test_vectors import known

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

# file, what the vectors say that notice, the line as it is, and how somebody might read it
MISREADINGS = [
    # grids
    ("arithmetic", "S", "- 126, -100)", "- 127, -100)"),
    ("arithmetic", "S", "- 126, -100)", "- 126, -101)"),
    ("arithmetic", "S", "- 126, -100)", "- 126, -99)"),
    ("arithmetic", "S", "& 0x7FFFFFFF", "& 0xFFFFFFFF"),
    ("arithmetic", "S", "np.where(e == POISON, np.nan, np.ldexp", "np.where(e == POISON, 1.0, np.ldexp"),
    ("arithmetic", "linear", "0.0, np.rint(np.where", "0.0, np.trunc(np.where"),
    ("arithmetic", "linear", "0.0, np.rint(np.where", "0.0, np.floor(0.5 + np.where"),
    ("arithmetic", "S", "total = on_grid(x, e, 30)", "total = on_grid(x, e, 29)"),
    ("arithmetic", "S", "return (total * (two(e) * 2.0**-30))", "return f32(total * (two(e) * 2.0**-30))"),
    ("arithmetic", "digits", "np.floor((n + 64.0) / 128.0)", "np.floor((n + 63.0) / 128.0)"),
    ("arithmetic", "digits", "np.floor((n + 64.0) / 128.0)", "np.rint(n / 128.0)"),
    ("arithmetic", "digits", "np.floor((n + 64.0) / 128.0)", "np.trunc(n / 128.0)"),
    # products
    ("arithmetic", "linear", "return exact(n, m) - exact(low(n), low(m))", "return exact(n, m)"),
    ("arithmetic", "attention", "return exact(n, m) - exact(low(n), low(m))", "return exact(n, m)"),
    ("arithmetic", "linear", "e, f = exponent(a, -1), exponent(b, -2)\n    return f32", "e, f = exponent(a), exponent(b, -2)\n    return f32"),
    ("arithmetic", "linear", "e, f = exponent(a, -1), exponent(b, -2)\n    return f32", "e, f = exponent(a, -1), exponent(b)\n    return f32"),
    ("arithmetic", "linear", "on_grid(b, f, 13)) * (two(e) * two(f) * 2.0**-26)", "on_grid(b, f, 12)) * (two(e) * two(f) * 2.0**-25)"),
    ("arithmetic", "linear", "* (two(e) * two(f) * 2.0**-26))", "* f32(two(e) * two(f) * 2.0**-26))"),
    ("arithmetic", "coded_linear", "on_grid(some, e, 22), two(e) * 2.0**-22", "on_grid(some, e, 23), two(e) * 2.0**-23"),
    ("arithmetic", "coded_linear", "block, y = min(32, group)", "block, y = group"),
    ("arithmetic", "coded_linear", "block, y = min(32, group)", "block, y = 32"),
    ("arithmetic", "coded_linear", "e = exponent(some, 1)", "e = exponent(x, 1)"),
    ("arithmetic", "coded_linear", "y = y + (n @ q.T) * (scales", "y = y.astype(f32) + (n @ q.T) * (scales"),
    ("arithmetic", "coded_linear", "* (n.sum(1, keepdims=True) * step)", "* (some.sum(1, keepdims=True))"),
    ("arithmetic", "ordered_linear", "lanes[i % 8] = lanes[i % 8] + term", "lanes[0] = lanes[0] + term"),
    ("arithmetic", "ordered_linear", "lanes[i % 8] = lanes[i % 8] + term", "lanes[i % 4] = lanes[i % 4] + term"),
    ("arithmetic", "ordered_linear", "lanes[i % 8] = lanes[i % 8] + term", "lanes[i // 5] = lanes[i // 5] + term"),
    ("arithmetic", "ordered_linear", "((a + e) + (c + g)) + ((b + f) + (d + h))", "((a + b) + (c + d)) + ((e + f) + (g + h))"),
    ("arithmetic", "ordered_linear", "((a + e) + (c + g)) + ((b + f) + (d + h))", "((a + e) + (b + f)) + ((c + g) + (d + h))"),
    ("arithmetic", "ordered_linear", "    a, b = a.astype(f64), b.astype(f64)\n", ""),
    ("layers", "linear", "return product(dy, w), product(turned(dy), x)", "return product(dy, w), turned(product(turned(x), dy) + 1)"),
    ("layers", "low_rank", "return linear(x, w) + linear(h, b), h", "return product(np.hstack((x, h)), turned(np.hstack((w, b)))), h"),
    ("layers", "low_rank", "product(dy, w) + product(g, a), turned", "product(dy, w + product(b, a)), turned"),
    ("layers", "low_rank", "turned(over_rows(x, g)), over_rows(dy, h)", "product(turned(g), x), product(turned(dy), h)"),
    ("layers", "low_rank", "turned(over_rows(x, g)), over_rows(dy, h)", "over_rows(g, x), over_rows(dy, h)"),
    ("layers", "low_rank", "turned(over_rows(x, g)), over_rows(dy, h)", "turned(over_rows(x, g)), turned(over_rows(h, dy))"),
    # elementary functions
    ("arithmetic", "exp32", "f32(-87)), f32(88))", "f32(-87)), f32(87))"),
    ("arithmetic", "exp32", "x < f32(-87), f32(0)", "x <= f32(-87), f32(0)"),
    ("arithmetic", "exp32", "x < f32(-87), f32(0)", "x < f32(-104), f32(0)"),
    ("arithmetic", "exp32", "k = np.rint(c * f32(", "k = np.floor(f32(0.5) + c * f32("),
    ("arithmetic", "exp32", "k = np.rint(c * f32(hexadecimal(\"0x1.715476p+0\")))", "k = f32(np.rint(f64(c) * hexadecimal(\"0x1.71547652b82fep+0\")))"),
    ("arithmetic", "exp32", "k = np.rint(c * f32(hexadecimal(\"0x1.715476p+0\")))", "k = f32(np.rint(f64(c) * hexadecimal(\"0x1.715476p+0\")))"),
    ("arithmetic", "exp32", "0x1.7f7d1cp-20", "0x1.7f7d1ap-20"),
    ("arithmetic", "exp32", "0x1.7f7d1cp-20", "0x1.7f7d1ep-20"),
    ("arithmetic", "exp32", "0x1.62e4p-1", "0x1.62e402p-1"),
    ("arithmetic", "exp32", "0x1.715476p+0", "0x1.715474p+0"),
    ("arithmetic", "exp32", "0x1.715476p+0", "0x1.715478p+0"),
    ("arithmetic", "exp32", "0x1.6a2434p-10", "0x1.6a2436p-10"),
    ("arithmetic", "exp32", "0x1.6a2434p-10", "0x1.6a2432p-10"),
    ("arithmetic", "exp32", "0x1.1239e2p-7", "0x1.1239e4p-7"),
    ("arithmetic", "exp32", "0x1.1239e2p-7", "0x1.1239e0p-7"),
    ("arithmetic", "exp32", "0x1.5558f2p-5", "0x1.5558f4p-5"),
    ("arithmetic", "exp32", "0x1.555492p-3", "0x1.555494p-3"),
    ("arithmetic", "exp32", "0x1.fffffcp-2", "0x1.fffffep-2"),
    ("arithmetic", "exp32", "r = (c - k * f32(hexadecimal(\"0x1.62e4p-1\"))) - k * f32(hexadecimal(\"0x1.7f7d1cp-20\"))",
     "r = f32((c - k * f32(hexadecimal(\"0x1.62e4p-1\"))) - f64(k) * hexadecimal(\"0x1.7f7d1cp-20\"))"),
    ("arithmetic", "exp32", "y = ((r * r) * p + r) + f32(1)", "y = (r * r) * p + (r + f32(1))"),
    ("arithmetic", "exp32", "y = ((r * r) * p + r) + f32(1)", "y = (r * (r * p) + r) + f32(1)"),
    ("arithmetic", "exp32", "y = ((r * r) * p + r) + f32(1)", "y = f32(f64(r * r) * f64(p) + f64(r)) + f32(1)"),
    ("arithmetic", "exp32", "(((r * c6 + c5) * r", "((f32(f64(r) * f64(c6) + f64(c5)) * r"),
    ("arithmetic", "exp64", "k * LN2_HIGH) - k * LN2_LOW", "k * LN2_HIGH) + k * LN2_LOW"),
    ("arithmetic", "exp64", "range(14, -1, -1)", "range(13, -1, -1)"),
    ("arithmetic", "log64", "range(23, 0, -2)", "range(21, 0, -2)"),
    ("arithmetic", "log64", "0x1.6a09e667f3bcdp-1", "0x1p-1"),
    ("arithmetic", "log64", "k * LN2_HIGH + (((2.0 * s) * series) + k * LN2_LOW)", "(k * LN2_HIGH + (2.0 * s) * series) + k * LN2_LOW"),
    ("arithmetic", "sin_cos64", "((x - k * a) - k * b) - k * c", "(x - k * a) - (k * b + k * c)"),
    ("arithmetic", "sin_cos64", "np.int64) % 4", "np.int64) % 2"),
    ("arithmetic", "sin_cos64", "(quadrant == 1) | (quadrant == 2), -c", "(quadrant == 2) | (quadrant == 3), -c"),
    ("arithmetic", "sin_cos64", "range(17, 0, -2)", "range(15, 0, -2)"),
    ("arithmetic", "power", "    result = 1.0\n    while n:\n        if n & 1:\n            result *= base\n        base *= base\n        n >>= 1\n    return result", "    return base**n"),
    # random numbers
    ("arithmetic", "integers", "range(1, (count + 3)", "range(0, (count + 3)"),
    ("arithmetic", "integers", "digest()[:8], \"little\"", "digest()[:8], \"big\""),
    ("arithmetic", "integers", "(b >> 64) ^ x1 ^ k0, b & MASK, (a >> 64) ^ x3 ^ k1, a & MASK", "(a >> 64) ^ x1 ^ k0, a & MASK, (b >> 64) ^ x3 ^ k1, b & MASK"),
    ("arithmetic", "integers", "for _ in range(10)", "for _ in range(9)"),
    ("arithmetic", "uniforms", "n >> 11 for n", "n & (2**53 - 1) for n"),
    ("arithmetic", "normals", "log64(u + 2.0**-53)", "log64(u + 2.0**-54)"),
    ("arithmetic", "normals", "(radius * cosine, radius * sine)", "(radius * sine, radius * cosine)"),
    ("library", "permutation", "(keys[i], i)", "(-keys[i], i)"),
    # layers
    ("layers", "rms_norm", "f64(x.shape[1]) + epsilon", "f64(x.shape[1]) + f32(epsilon)"),
    ("layers", "rms_norm", "np.sqrt(grid_sum(x * x, 1) / f64(x.shape[1]) + epsilon)", "(np.sqrt(grid_sum(x * x, 1) / f64(x.shape[1])) + epsilon)"),
    ("layers", "rms_norm", "return (x * inverse) * gain, inverse", "return x * (inverse * gain), inverse"),
    ("layers", "rms_norm", "return inverse * (s - n * c)", "return inverse * s - inverse * (n * c)"),
    ("layers", "swiglu", "return (a * (ONE / (ONE + exp32(-a)))) * b", "return (a / (ONE + exp32(-a))) * b"),
    ("layers", "swiglu", "(dy * b) * (z + t * (ONE - z))", "(dy * b) * (z * (ONE + a * (ONE - z)))"),
    ("layers", "rotate", "(u * c - v * s, v * c + u * s)", "(u * c + v * s, v * c - u * s)"),
    ("layers", "rotate", "u, v = np.split(x, 2, 3)", "u, v = x[..., ::2], x[..., 1::2]"),
    ("layers", "embedding_backward", "    e = exponent(dy)\n", "    e = exponent(dy, 0)\n"),
    ("library", "layer_norm", "d = f32(x.astype(f64) - row_means(x))", "d = x - f32(row_means(x))"),
    ("library", "layer_norm", "(s - f32(row_means(s))) - n * f32(row_means(s * n))", "s - (f32(row_means(s)) + n * f32(row_means(s * n)))"),
    ("library", "softmax", "w / f32(total.astype(f64) * 2.0**-30)", "f32(w / (total.astype(f64) * 2.0**-30))"),
    ("library", "softmax", "np.where(np.isfinite(largest), w", "np.where(~np.isnan(largest), w"),
    ("library", "silu", "x < f32(-88), f32(0)", "x < f32(-87), f32(0)"),
    ("library", "silu", "x < f32(-88), f32(0)", "x < f32(-89), f32(0)"),
    ("library", "silu", "return y, z + y * (ONE - z)", "return y, z * (ONE + x * (ONE - z))"),
    ("library", "gelu", "np.where(x < 0, tail, ONE - tail)", "np.where(x <= 0, tail, ONE - tail)"),
    ("library", "gelu", "f32(-16)), f32(16))", "f32(-4)), f32(4))"),
    ("library", "mean", "dy / f32(len(x))", "dy * f32(1 / len(x))"),
    # attention
    ("layers", "attention", "f32(1.0 / np.sqrt(f64(width)))", "f32(f32(1.0) / width)"),
    ("layers", "attention", "np.rint(w * f32(8192))", "np.rint(w * f32(4096)) * 2"),
    ("layers", "attention", "known = np.isfinite(largest)", "known = ~np.isnan(largest)"),
    ("layers", "attention", "t = np.where(known, f32(n.sum(3, keepdims=True)), f32(np.nan))", "t = f32(n.sum(3, keepdims=True))"),
    ("layers", "attention", "    ds = np.where(np.isnan(t), f32(np.nan), ds)\n", ""),
    ("layers", "attention", "ds = np.where(n == 0, f32(0), (", "ds = np.where(hidden(*n.shape[2:]), f32(0), ("),
    ("layers", "attention", "    e = exponent(v, 2)\n    y = f32((digit_product(n, on_grid(v, e, 13)) * (two(e) * 2.0**-13)) / t.astype(f64))",
     "    e = exponent(v, 2)\n    y = f32(f64(f32(digit_product(n, on_grid(v, e, 13)) * (two(e) * 2.0**-13))) / t.astype(f64))"),
    ("layers", "attention", "    y = f32((digit_product(n, on_grid(v, e, 13))", "    y = f32((exact(n, on_grid(v, e, 13))"),
    ("layers", "attention", "delta = f32(grid_sum(dy * y, 3))", "delta = f32(grid_sum(dy * y, 3)) * ONE + f32(1e-9)"),
    ("layers", "attention", "(f32(n) * (ONE / t)) * (g - delta)", "(f32(n) / t) * (g - delta)"),
    ("layers", "attention", "dk = columns_product(rows, q * f32(two(e)))", "dk = columns_product(on_grid(ds, exponent(ds, 2), 13), q)"),
    ("layers", "attention", "dv = columns_product(n, dy * (f32(8192) / t))", "dv = columns_product(n, (dy * f32(8192)) / t)"),
    ("layers", "attention", "    return f32(digit_product(turned(n), on_grid(x, e, 13))", "    return f32(exact(turned(n), on_grid(x, e, 13))"),
    ("layers", "attention", "np.arange(positions) > np.arange(rows)", "np.arange(positions) >= np.arange(rows)"),
    ("layers", "ordered_attention", "f32(ordered_sum(p[:, None] * values) / ordered_sum(p))", "f32(ordered_sum(p[:, None] * values)) / f32(ordered_sum(p))"),
    ("layers", "ordered_attention", "seen = first + t + 1", "seen = t + 1"),
    ("layers", "ordered_attention", "h // share], v", "h % k.shape[2]], v"),
    # output layer
    ("layers", "linear_cross_entropy", "* f32(2.0**20)).astype(f64)", "* f32(2.0**19)).astype(f64) * 2"),
    ("layers", "linear_cross_entropy", "weights * (ONE / f32(total))[:, None]", "weights / f32(total)[:, None]"),
    ("layers", "linear_cross_entropy", "exact(q, m) - exact(low(q), low(m))", "exact(q, m)"),
    ("layers", "linear_cross_entropy", "    dx = np.where(np.isfinite(losses)[:, None], dx, f32(np.nan))\n", ""),
    ("layers", "linear_cross_entropy", "np.isfinite(losses)[:, None], dx", "np.isfinite(losses).all(), dx"),
    ("layers", "linear_cross_entropy", "    dw = np.where(np.isfinite(losses).all(), dw, f32(np.nan))\n", ""),
    ("layers", "linear_cross_entropy", "return mean(losses), dx * dy, dw * dy", "return mean(losses), dx, dw"),
    ("layers", "cross_entropy", "(logits[rows, targets] - largest[:, 0]).astype(f64)", "(logits[rows, targets].astype(f64) - largest[:, 0])"),
    ("layers", "cross_entropy", "2.0**30).astype(np.int64).sum(1).astype(f64) * 2.0**-30\n    return", "2.0**20).astype(np.int64).sum(1).astype(f64) * 2.0**-20\n    return"),
    ("library", "cross_entropy", "kept = targets != ignore_index", "kept = targets != 1000"),
    ("library", "cross_entropy", "(f32(q) * f32(2.0**-20)) / f32(len(losses))", "(f32(q) * f32(2.0**-20)) / f32(len(logits))"),
    ("library", "cross_entropy", "return mean(losses), gradient * dy", "return mean(losses), gradient"),
    ("layers", "linear_distillation", "np.argsort(-t, axis=1, kind=\"stable\")", "np.argsort(t[:, ::-1], axis=1, kind=\"stable\")[:, ::-1]"),
    ("layers", "linear_distillation", "y, u = (z - m) * k, (t - n) * k", "y, u = (z - m) / f32(temperature), (t - n) / f32(temperature)"),
    ("layers", "linear_distillation", "np.where(p == 0, f32(0), p * (u - y))", "p * (u - y)"),
    ("layers", "linear_distillation", "divergence * (share * (temperature * temperature))", "divergence * share"),
    ("layers", "linear_distillation", "(q - p) * a + plain * h", "(q - p) * a + q * h"),
    ("layers", "linear_distillation", "np.rint(f64(h) * 2.0**20)", "2.0**20"),
    ("layers", "linear_distillation", "f64(len(targets)) / steepness", "f64(len(targets))"),
    # the optimizer
    ("training", "rate", "if step <= run.warmup", "if step < run.warmup"),
    ("training", "rate", "max(1, run.steps - run.warmup)", "max(1, run.steps)"),
    ("training", "rate", "return run.learning_rate * step / run.warmup", "return run.learning_rate * (step / run.warmup)"),
    ("training", "mean_gradient", "exponent(rows, (0, 2))", "exponent(rows, 2)[:1]"),
    ("training", "mean_gradient", "on_grid(rows, e, 24)", "2 * on_grid(rows, e, 23)"),
    ("training", "norm", "for name in sorted(gradients)", "for name in sorted(gradients, key=str.lower)"),
    ("training", "norm", "if 0.0 < limit < length", "if 0.0 < limit"),
    ("training", "adamw", "if p.ndim > 1 else 1.0", "if p.ndim > 0 else 1.0"),
    ("training", "adamw", "(np.sqrt(second) + f32(epsilon))", "np.sqrt(second + f32(epsilon))"),
    ("training", "adamw", "f32(1.0 - power(beta1, step))", "f32(1.0 - power(beta1, step + 1))"),
    ("training", "adamw", "* f32(1.0 - beta2)", "* (f32(1) - f32(beta2))"),
    ("training", "adamw", "return p * f32(keep) - u * f32(learning_rate), m, v", "return (p - u * f32(learning_rate)) * f32(keep), m, v"),
    ("training", "adamw", "(g * g) * f32(1.0 - beta2)", "g * (g * f32(1.0 - beta2))"),
    # order and inference
    ("training", "order", "(count - 1).bit_length()", "count.bit_length()"),
    ("training", "order", "range(1, 9)", "range(8)"),
    ("training", "order", "mix(mix(seed + GOLDEN) + epoch)", "mix(mix(seed) + epoch)"),
    ("training", "step_windows", "range((step - 1) * windows_per_step, step * windows_per_step)", "range(step * windows_per_step, (step + 1) * windows_per_step)"),
    ("decoder", "rotary_tables", ".astype(f32)[:, None]", "[:, None]"),
    ("decoder", "rotary_tables", "frequencies = f32(exp64", "frequencies = (exp64"),
    ("decoder", "initial", "(\".out\", \".down\")", "(\".out\",)"),
    ("decoder", "initial", "np.sqrt(2.0 * f64(shape.layers))", "np.sqrt(f64(shape.layers))"),
    ("decoder", "loss_and_gradients", "g[\"embed\"] = dhead + dembed if", "g[\"embed\"] = dembed if"),
    ("decoder", "logits", "y = layers.ordered_attention(", "y, _ = layers.attention("),
    ("training", "weights_file", "-len(text) % 8", "-len(text) % 4"),
    ("training", "train", "(before + state)", "(state + before)"),
    ("training", "train", "f\"({x.shape[0]},)\"", "f\"({x.shape[0]})\""),
    ("evaluation", "choose", "(-row[i], i)", "(-row[i], -i)"),
    ("evaluation", "choose", "if weight > draw * total", "if weight >= draw * total"),
    ("evaluation", "choose", ".astype(f64) / temperature", " / np.float32(temperature)"),
    ("evaluation", "choose", "if weight >= top_p * total]", "if weight > total - top_p * total]"),
    ("evaluation", "choose", "cumulative[: enough[0] + 1]", "cumulative[: enough[0]]"),
    ("evaluation", "choose", "total = cumulative[-1]", "total = total"),
    ("evaluation", "choose", "frequency * times", "frequency"),
    ("evaluation", "choose", "if times:", "if token in bias or times:"),
    ("evaluation", "choose", "if token in bias or (times and (presence or frequency)):", "if times:"),
    ("evaluation", "generate", "written=found,", "written=tokens,"),
    ("evaluation", "logprobs", "lanes[i % 8]", "lanes[i % 4]"),
    ("evaluation", "logprobs", "- largest, -700.0", ", -700.0"),
    ("evaluation", "logprobs", "(row.astype(f64) - largest) - log64(np.array([total]))", "row.astype(f64) - (largest + log64(np.array([total])))"),
    ("evaluation", "logprobs", "((a + e) + (c + g)) + ((b + f) + (d + h))", "((a + b) + (c + d)) + ((e + f) + (g + h))"),
    ("evaluation", "generate", "tokens[first:]", "tokens[-shape.context :]"),
    ("evaluation", "generate", "> shape.context:", ">= shape.context:"),
    ("evaluation", "generate", "first += half", "first += 1"),
]  # fmt: skip

# What reads differently and is the same, and why.
THE_SAME = [
    # 2**e of a group that is not finite is NaN, whatever its integers are.
    ("arithmetic", "linear", "return np.where(e == POISON, 0.0, np.rint", "return np.where(e == POISON, 1.0, np.rint"),
    # What the smaller bound lets through is 0 all the same.
    ("arithmetic", "exp32", "f32(-87)), f32(88))", "f32(-88)), f32(88))"),
    # 4 and 0.5 are powers of two.
    ("arithmetic", "sin_cos_turns64", "(4.0 * x - k) * hexadecimal", "((x - k / 4.0) * 4.0) * hexadecimal"),
    ("library", "gelu", "(z * z) * f32(-0.5)", "z * (z * f32(-0.5))"),
    # The logistic function is 0 or 1 from both.
    ("library", "gelu", "f32(-16)), f32(16))", "f32(-15)), f32(15))"),
    (
        "arithmetic",
        "ordered_linear",
        "((a + e) + (c + g)) + ((b + f) + (d + h))",
        "((h + d) + (f + b)) + ((g + c) + (e + a))",
    ),
    # Addition commutes, and the integers of a sum have one order as good as another.
    ("layers", "swiglu", "t = a * z", "t = z * a"),
    ("layers", "linear_cross_entropy", "exact(q, m) - exact(low(q), low(m))", "-exact(low(q), low(m)) + exact(q, m)"),
    # The divergence from a teacher whose largest logit is infinite is NaN by itself.
    ("layers", "linear_distillation", " & np.isfinite(n[:, 0])", ""),
]


@pytest.fixture(scope="module")
def answers():
    found = {}
    for vector in known():
        found.setdefault(vector["does"], []).append(vector)
    return found


@pytest.fixture
def read_as(tmp_path, monkeypatch):
    """The second implementation with one passage of a module replaced."""
    name = f"misread_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)

    def read(module, passage, reading):
        shutil.copytree(HERE, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        path = tmp_path / name / f"{module}.py"
        text = path.read_text("utf-8")
        assert text.count(passage) == 1, f"{module}.py has this {text.count(passage)} times: {passage}"
        path.write_text(text.replace(passage, reading), "utf-8")
        return importlib.import_module(f"{name}.test_vectors")

    yield read
    for one in [one for one in sys.modules if one.partition(".")[0] == name]:
        del sys.modules[one]


def differs(program, vectors):
    """Whether a program gives another answer than one of those known, or none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for vector in vectors:
            try:
                found = program.said(program.DOES[vector["does"]](**program.read(vector["given"])))
            except (AssertionError, IndexError, ValueError, ZeroDivisionError):
                return True
            if found != vector["gives"]:
                return True
    return False


@pytest.mark.parametrize(("module", "does", "passage", "reading"), MISREADINGS)
def test_a_misreading_is_noticed(answers, read_as, module, does, passage, reading):
    assert differs(read_as(module, passage, reading), answers[does])


@pytest.mark.parametrize(("module", "does", "passage", "reading"), THE_SAME)
def test_another_reading_is_the_same(answers, read_as, module, does, passage, reading):
    assert not differs(read_as(module, passage, reading), answers[does])
