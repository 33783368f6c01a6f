"""Only operations whose bits IEEE 754 fixes are reached in training and inference."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regrow.exact.selection import use
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.train.loop import train
from tests.train.toy import FREEZING, SETTINGS, TASK, batch, masked, watch

MOVES = {  # make, read, copy, reshape or select; no arithmetic
    "alias", "all", "any", "arange", "bitwise_and", "bitwise_not", "bitwise_or", "cat", "clone", "constant_pad_nd",
    "copy_", "detach", "empty", "empty_like", "expand", "full", "full_like", "gather", "index_select", "isfinite",
    "lift_fresh", "_local_scalar_dense", "__lshift__", "masked_fill", "masked_scatter", "masked_scatter_backward",
    "masked_select", "nan_to_num", "new_empty", "ones", "ones_like", "__rshift__", "scalar_tensor", "select", "slice",
    "split", "split_with_sizes", "squeeze", "stack", "_to_copy", "transpose", "unbind", "_unsafe_view", "unsqueeze",
    "view", "where", "zeros", "zeros_like",
}  # fmt: skip
ORDER_FREE = {"abs", "amax", "amin", "clamp", "eq", "gt", "le", "lt", "max", "ne", "neg", "round", "remainder", "topk"}
ROUNDED_ONCE = {"add", "sub", "rsub", "mul", "div"}
INTEGER_ONLY = {"sum", "cumsum", "index_add_", "_int_mm"}
DIGIT_PRODUCTS = {"bmm"}


LARGEST_WHOLE = {torch.int32: 2**31 - 1, torch.float64: 2**53}


def is_whole_sum(total, x, times):
    """Whether ``total + times * x`` has no rounding, fused or not: integers within the format before and after."""
    whole = all(bool((y == y.round()).all()) for y in (total, x)) and times == int(times)
    largest = [int(y.abs().max()) if y.numel() else 0 for y in (total, x)]
    return whole and largest[0] + abs(times) * largest[1] <= LARGEST_WHOLE[total.dtype]


class Forbidden(AssertionError):
    """An operation whose bits are not fixed."""


class Guard(TorchDispatchMode):
    """Raises at the first operation that is not known to give the same bits everywhere."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        fault = self.fault(function.overloadpacket.__name__, args, kwargs)
        if fault:
            raise Forbidden(f"{function}: {fault}")
        return function(*args, **kwargs)

    @staticmethod
    def fault(name, args, kwargs):
        if name in MOVES or name in ORDER_FREE:
            return ""
        if name in ROUNDED_ONCE:
            if kwargs.get("alpha", 1) != 1:
                return "`alpha` is fused into the addition on some processors"
            if name == "div" and not isinstance(args[1], torch.Tensor):
                return "a CUDA tensor divided by a number is multiplied by its reciprocal"
            return ""
        if name in INTEGER_ONLY:
            addends = args[3] if name == "index_add_" else args[0]
            return "a floating-point sum depends on its order" if addends.is_floating_point() else ""
        if name == "add_":
            exact = args[0].dtype in LARGEST_WHOLE and is_whole_sum(*args[:2], kwargs.get("alpha", 1))
            return "" if exact else "a running sum of anything but integers within the format"
        if name in DIGIT_PRODUCTS:
            whole = all(bool((x == x.round()).all()) and bool((x.abs() <= 64).all()) for x in args[:2])
            return "" if whole else "a product of anything but digits"
        return "not on the list"


@pytest.mark.parametrize(
    "backend", [("reference", "float64"), ("reference", "float32"), ("reference", "int8"), ("numba", "int8")]
)
def test_training_reaches_no_forbidden_operation(backend, tmp_path):
    with use(*backend), Guard():
        train(TASK, SETTINGS, batch, tmp_path, watch())


def test_nor_do_masks_and_frozen_parameters(tmp_path):
    with use("numba", "int8"), Guard():
        train(FREEZING, SETTINGS, masked, tmp_path, watch())


@pytest.mark.parametrize("backend", [("reference", "float64"), ("numba", "int8")])
def test_nor_does_inference(backend):
    config = DecoderConfig(vocabulary=20, layers=1, width=12, heads=2, kv_heads=1, hidden=10, context=9)
    parameters, tokens = initialise(config, 1), torch.arange(9)[None]
    with use(*backend), torch.no_grad(), Guard():
        Decoder(config).logits(parameters, tokens)


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda x: torch.exp(x),
        lambda x: torch.sigmoid(x),
        lambda x: torch.softmax(x, 0),
        lambda x: torch.nn.functional.silu(x),
        lambda x: torch.nn.functional.rms_norm(x, (4,)),
        lambda x: torch.add(x, x, alpha=0.5),
        lambda x: torch.addcmul(x, x, x),
        lambda x: torch.lerp(x, x, 0.5),
        lambda x: x / 3.0,
        lambda x: x.rsqrt(),
        lambda x: x.sqrt(),
        lambda x: x**3,
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x @ x,
        lambda x: torch.bmm(x[None, None] * 100.0, x[None, :, None]),
        lambda x: x.add_(x),
        lambda x: x.double().round().add_(x.round(), alpha=0.5),
        lambda x: x.double().round().add_(x.round(), alpha=2.0**52),
        lambda x: torch.randn(3),
        lambda x: x.uniform_(),
    ],
)
def test_the_guard_catches_what_it_must(forbidden):
    x = torch.tensor([0.5, 1.0, 1.5, 2.5])
    with Guard(), pytest.raises(Forbidden):
        forbidden(x)
