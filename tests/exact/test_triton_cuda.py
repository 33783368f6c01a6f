"""Where tensors are computed, and that a CUDA device gives the same bits: the tests marked ``gpu`` need one.

pytest -m gpu tests/exact
"""

import pytest
import torch

from regrow.errors import RecipeError
from regrow.exact import comparison, selection, selftest
from regrow.exact.gemm import padded_int8
from regrow.exact.registry import CUDA_GEMM_BACKENDS, TRITON, find_gemm_backend
from regrow.train.loop import train
from tests.train.toy import SETTINGS, TASK, batch, watch


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("REGROW_BACKEND", raising=False)


def with_device(monkeypatch, fault):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(selection, "cuda_fault", lambda: fault)


def test_a_backend_without_a_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(selection, "cuda_fault", selftest.cuda_fault.__wrapped__)
    monkeypatch.setenv("REGROW_BACKEND", "triton")
    assert selection._home.__wrapped__() == "cuda"
    with pytest.raises(RecipeError, match="cannot compute exactly") as caught:
        selection._cuda_kernels()
    assert caught.value.where == "REGROW_BACKEND"
    assert "no CUDA device" in caught.value.why


def test_a_device_that_is_not_exact_is_refused_with_the_reason(monkeypatch):
    with_device(monkeypatch, "kernel `triton exp`: result 0 differs in 3 places")
    with pytest.raises(RecipeError) as caught:
        selection.default.__wrapped__("cuda")
    assert "differs in 3 places" in caught.value.why
    assert caught.value.where == ""


def test_a_device_that_is_not_exact_is_not_trained_on_and_that_is_said(monkeypatch):
    with_device(monkeypatch, "kernel `triton exp` differs")
    with pytest.warns(UserWarning, match="computing on the CPU, .* kernel `triton exp` differs"):
        assert selection._home.__wrapped__() == "cpu"


@pytest.mark.parametrize("asked", ["numba", "reference"])
def test_a_device_is_left_alone_when_the_cpu_is_asked_for(asked, monkeypatch):
    with_device(monkeypatch, "")
    monkeypatch.setenv("REGROW_BACKEND", asked)
    assert selection._home.__wrapped__() == "cpu"
    assert selection._cpu_kernels().name == asked


@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 5, 1), (17, 64, 24), (40, 33, 50), (64, 48, 32)])
def test_int8_operands_are_given_as_the_cuda_library_wants_them(rows, depth, columns, monkeypatch):
    """Rows times transposed rows, each dense and aligned; more than 16 rows; the rest in multiples of 16."""
    taken = []

    def multiply(left, right, out):
        assert left.shape[0] > 16
        assert left.shape[1] % 16 == right.shape[1] % 16 == 0
        for x in (left, right.mT):
            assert x.stride(1) == 1
            assert x.stride(0) % 16 == 0
        taken.append(1)
        out.copy_(left.to(torch.int32) @ right.to(torch.int32))

    monkeypatch.setattr(torch, "_int_mm", multiply)
    a, b = (comparison.sample((2, rows, depth), 1) * 20, comparison.sample((2, depth, columns), 2) * 20)
    a, b = a.to(torch.int8), b.to(torch.int8)
    expected = a.to(torch.int32) @ b.to(torch.int32)
    strided = torch.stack((a, a), 2)[:, :, 0]
    for left, right in ((a, b), (a.mT.contiguous().mT, b), (strided, b.mT.contiguous().mT)):
        assert torch.equal(padded_int8(left, right), expected)
    assert len(taken) == 6


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*TRITON, *(gemm.name for gemm in CUDA_GEMM_BACKENDS)])
def test_a_gemm_backend_is_exact_on_the_device(name):
    assert selftest.gemm_fault(find_gemm_backend(name), torch.device("cuda")) == ""


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(comparison.cases()))
def test_a_kernel_has_the_bits_of_the_definition_on_the_device(name):
    assert dict(comparison.kernel_faults(("triton",)))[f"triton {name}"]() == ""


@pytest.mark.gpu
@pytest.mark.parametrize("gemm", [*TRITON, "int8", "bf16", "float32", "float64"])
def test_training_on_the_device_ends_at_the_hash_of_the_cpu(gemm, tmp_path):
    with selection.use("numba", "int8"):
        expected = train(TASK, SETTINGS, batch, tmp_path / "cpu", watch()).digest()
    with selection.use("triton", gemm):
        state = train(TASK, SETTINGS, batch, tmp_path / "cuda", watch())
    assert all(p.is_cuda for p in state.parameters.values())
    assert state.digest() == expected
