"""Declarations that contradict themselves are refused where the kind is made."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from regrow.recipe.kind import Call, Kind, Released, Slot, Table
from regrow.sections import Parameters


class Needy(Parameters):
    """Parameters of which one has no default."""

    factor: float = Field(description="Some number.", examples=[1.0])


def run(call: Call[Any]) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"name": "Bad Name/../x"}, "is no name of a kind"),
        ({"name": ""}, "is no name of a kind"),
        ({"name": "a" * 65}, "is no name of a kind"),
        ({"origin": "teleported"}, "`origin` of the kind `scale` is `teleported`"),
        ({"on_documents": "eaten"}, "`on_documents` of the kind `scale` is `eaten`"),
        ({"origin": "random"}, "takes weights, so those that it gives are not random"),
        ({"usual": True, "parameters": Needy}, "`factor` needs a default"),
        ({"table": Table("model")}, "every recipe has it"),
    ],
)
def test_a_contradiction_is_refused(declared: dict[str, Any], says: str) -> None:
    sound: dict[str, Any] = {
        "name": "scale",
        "version": 1,
        "parameters": Parameters,
        "inputs": {"weights": Slot("weights")},
        "output": "weights",
        "run": run,
    }
    assert Kind(**sound).name == "scale"
    with pytest.raises(ValueError, match=says):
        Kind(**sound | declared)


@pytest.mark.parametrize("place", [("../evil",), ("a", "../../evil"), ("a", "", "/etc/passwd"), ("a", "x\\y")])
def test_nothing_is_released_outside_of_the_release(place: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="leads out of a release"):
        Released(*place)


def test_a_kind_that_watches_takes_both_sides() -> None:
    sides = {"before": Slot("weights"), "after": Slot("weights")}
    sound: dict[str, Any] = {
        "name": "look",
        "version": 1,
        "parameters": Parameters,
        "inputs": sides,
        "output": "looks",
        "run": run,
        "watches": "weights",
    }
    assert Kind(**sound).watches == "weights"
    for wrong in ({"before": Slot("weights")}, {**sides, "after": Slot("tokens")}):
        with pytest.raises(ValueError, match="takes that in `before` and `after`"):
            Kind(**sound | {"inputs": wrong})


def test_what_is_released_may_be_called_after_its_stage() -> None:
    one = Released("a.json", "of/{stage}", "{entry}.json").of("look", "look-finetune")
    assert (one.folder, one.name) == ("of/look-finetune", "finetune.json")
