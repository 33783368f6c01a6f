"""What tasks may ask of the loop: frozen parameters and masks. python -m pytest tests/train/test_task.py"""

import dataclasses

import pytest
import torch

from regrow.errors import StageError
from regrow.model import weights
from regrow.train import loop, state
from regrow.train.task import Batch
from regrow.train.tasks import tasks
from regrow.train.tasks.finetuning import Finetuning
from regrow.train.tasks.lora import Lora
from regrow.train.tasks.preference import Preferring
from regrow.train.tasks.pretraining import Pretraining
from tests.train.toy import CONFIG, FREEZING, SETTINGS, TASK, Freezing, batch, masked, watch

PARAMETERS = TASK.initial()
SEQUENCES = Batch(batch(1).tokens[:3])
ALL = torch.ones(3, 16, dtype=torch.bool)
SOME = masked(3).mask[:3]


def bits(x):
    return x.contiguous().view(torch.int32)


def loss_and_gradients(batch, task=TASK):
    """Of all parameters, by name."""
    leaves = {name: p.clone().requires_grad_() for name, p in PARAMETERS.items()}
    loss = task.loss(leaves, batch)
    return {"loss": loss.detach(), **dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))}


def differing(one, other):
    """The names of what has not the same bits, up to the sign of zero."""
    return [name for name in one if not torch.equal(bits(one[name] + 0.0), bits(other[name] + 0.0))]


def test_a_task_is_rebuilt_from_what_is_sent():
    assert tasks()[TASK.name](TASK.description()) == TASK
    assert Freezing.described(FREEZING.description()) == FREEZING


def test_only_what_is_not_frozen_is_trained(tmp_path):
    done = loop.train(FREEZING, SETTINGS, batch, tmp_path, watch())
    assert list(done.parameters) == sorted(PARAMETERS)
    assert set(done.first) == set(done.second) == set(FREEZING.trained())
    unchanged = {name for name, p in done.parameters.items() if torch.equal(bits(p), bits(PARAMETERS[name]))}
    assert unchanged == set(done.frozen()) == set(FREEZING.frozen())
    assert set(done.trained()) == set(FREEZING.trained())


def test_the_gradients_of_the_others_are_those_of_the_whole(tmp_path):
    """What is frozen takes part in the first step as if it were not."""
    whole, part = (loop.train(task, SETTINGS, batch, tmp_path / task.name, watch()) for task in (TASK, FREEZING))
    assert whole.losses[0]["loss"] == part.losses[0]["loss"]
    assert whole.losses[0]["gradient_norm"] > part.losses[0]["gradient_norm"]


def test_frozen_parameters_are_part_of_the_digest():
    trained, frozen = FREEZING.initial(), FREEZING.given()
    other = {**frozen, "embed": frozen["embed"] + 1.0}
    digests = {state.State.initial(trained, given).digest() for given in (frozen, other, {})}
    assert len(digests) == 3


@dataclasses.dataclass(frozen=True)
class Wide(Lora):
    """The same numbers, all in float32."""

    def given(self):
        return {name: x.to(torch.float32) for name, x in super().given().items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_base_is_kept_in_the_type_that_has_its_numbers_whatever_its_file_is_of(dtype, tmp_path):
    """One matrix has numbers that only float32 has, another such that only float16 has as well."""
    base, folder = {name: x.to(torch.bfloat16).to(torch.float32) for name, x in PARAMETERS.items()}, tmp_path / "base"
    if dtype == "float32":
        base["head"], base["layers.000.mlp.down"] = PARAMETERS["head"], torch.full((32, 64), 1.0009765625)
    folder.mkdir()
    weights.save(folder, CONFIG, base, weights.Ends.both(0), dtype=dtype)
    given = CONFIG, 16, ("model.layers.1.mlp.down_proj",), 2, 2.0, ("layers.001.mlp.norm",), 1, folder
    found, wide = (
        loop.train(kind(*given), SETTINGS, masked, tmp_path / kind.__name__, watch()) for kind in (Lora, Wide)
    )
    assert found.chain == wide.chain
    kinds = {name: x.dtype for name, x in found.frozen().items() if x.dim() > 1}
    own = {"head": torch.float32, "layers.000.mlp.down": torch.float16} if dtype == "float32" else {}
    assert kinds == dict.fromkeys(kinds, torch.bfloat16) | own
    assert {x.dtype for x in found.trained().values()} == {torch.float32}


def test_what_is_trained_of_such_a_base_is_float32(tmp_path):
    weights.save(tmp_path, CONFIG, PARAMETERS, weights.Ends.both(0), dtype="bfloat16")
    tuned, preferring = Finetuning(CONFIG, 16, ("embed",), tmp_path), Preferring(CONFIG, 16, 0.1, tmp_path)
    assert {x.dtype for task in (tuned, preferring) for x in task.initial().values()} == {torch.float32}
    assert {name: x.dtype for name, x in tuned.given().items()} == {
        name: torch.bfloat16 if x.dim() > 1 else torch.float32 for name, x in PARAMETERS.items() if name != "embed"
    }
    for name, x in preferring.initial().items():
        reference = preferring.given()[f"reference.{name}"]
        assert torch.equal(x, reference.to(torch.float32))
        assert x.data_ptr() != reference.data_ptr()


@dataclasses.dataclass(frozen=True)
class OnOthers(Freezing):
    """The same names and shapes, given otherwise."""

    def given(self):
        return {name: x * 2.0 for name, x in super().given().items()}


def test_a_checkpoint_holds_no_frozen_parameters_and_belongs_to_them(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        loop.train(FREEZING, SETTINGS, batch, tmp_path, watch(3))
    (values,) = tmp_path.glob("checkpoint-*/values.f32")
    assert values.stat().st_size == 3 * 4 * sum(p.numel() for p in FREEZING.initial().values())
    assert state.restore(tmp_path, FREEZING.given()).step == 3
    others = OnOthers(FREEZING.whole, FREEZING.stays)
    assert state.restore(tmp_path, others.given()) is None
    fresh = loop.train(others, SETTINGS, batch, tmp_path / "fresh", watch()).chain
    assert loop.train(others, SETTINGS, batch, tmp_path, watch()).chain == fresh


def test_a_mask_of_ones_is_as_none(tmp_path):
    assert not differing(loss_and_gradients(SEQUENCES), loss_and_gradients(Batch(SEQUENCES.tokens, ALL)))

    def ones(step):
        return Batch(batch(step).tokens, torch.ones(6, 16, dtype=torch.bool))

    plain, hiding_nothing = (
        loop.train(TASK, SETTINGS, one, tmp_path / one.__name__, watch()).chain for one in (batch, ones)
    )
    assert plain == hiding_nothing


def test_a_masked_loss_is_the_mean_over_what_counts():
    tokens = SEQUENCES.tokens
    logits = TASK._decoder.logits(PARAMETERS, tokens[:, :-1]).double()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    expected = losses[SOME.flatten()].mean()
    found = TASK.loss(PARAMETERS, Batch(tokens, SOME))
    assert 0 < int(SOME.sum()) < SOME.numel()
    assert abs(float(expected - losses.mean())) > 1e-3  # so that the mask can be seen
    assert float(found) == pytest.approx(float(expected), abs=1e-4)


def test_what_is_masked_out_has_no_gradient():
    """Tokens read only where nothing that follows counts are not learned, and none is pushed down there."""
    tokens = torch.arange(3 * 17).view(3, 17)
    mask = torch.zeros(3, 16, dtype=torch.bool)
    mask[0, :8] = True
    found = loss_and_gradients(Batch(tokens, mask))["embed"]
    read = found.abs().sum(1) > 0
    assert read.nonzero().flatten().tolist() == list(range(8))


def test_sequences_in_which_nothing_counts_are_as_none():
    """But for the grids of the gradients, which reach over whatever was read."""
    mask = ALL.clone()
    mask[1:] = False
    expected, found = loss_and_gradients(Batch(SEQUENCES.tokens[:1])), loss_and_gradients(Batch(SEQUENCES.tokens, mask))
    assert torch.equal(expected["loss"], found["loss"])
    for name, values in expected.items():
        assert float((values - found[name]).abs().max()) <= 2e-3 * float(values.abs().max()), name


def test_a_target_that_does_not_count_may_be_any():
    mask, tokens = ALL.clone(), SEQUENCES.tokens.clone()
    mask[:, -1] = False
    tokens[:, -1] = 5
    assert not differing(loss_and_gradients(Batch(SEQUENCES.tokens, mask)), loss_and_gradients(Batch(tokens, mask)))


def test_a_micro_batch_in_which_nothing_counts_is_an_error(tmp_path):
    def nothing(step):
        mask = torch.ones(6, 16, dtype=torch.bool)
        mask[:3] = step < 3
        return Batch(batch(step).tokens, mask)

    with pytest.raises(StageError, match="nothing to learn from in micro-batch 1 of step 3"):
        loop.train(TASK, SETTINGS, nothing, tmp_path, watch())


@pytest.mark.parametrize("mask", [None, SOME])
def test_what_is_packed_is_unpacked(mask):
    given = Batch(SEQUENCES.tokens, mask)
    packed = given.packed()
    assert packed.dtype == torch.int32
    found = Batch.unpacked(packed)
    assert torch.equal(found.tokens, given.tokens)
    assert found.mask is mask is None or torch.equal(found.mask, mask)
    assert Batch.unpacked(Batch(given.tokens, ALL).packed()).mask is None


def test_the_initial_parameters_are_those_of_the_seed():
    assert not differing(PARAMETERS, Pretraining(CONFIG, SETTINGS.seed).initial())
    assert differing(PARAMETERS, Pretraining(CONFIG, 8).initial())
