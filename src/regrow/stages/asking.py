"""What is asked of a model to see what it writes: said once, for all stages that ask it."""

from __future__ import annotations

from pydantic import Field

from regrow.recipe.values import Texts
from regrow.sections import Parameters


class Asking(Parameters):
    """Texts for a model to continue."""

    prompts: Texts = Field(
        default=(),
        description="Texts for the model to continue; where it has a chat template, questions to it.",
        examples=[["To be, or not to be"]],
    )
    continues: bool = Field(
        default=False, description="Let it continue the texts even if it has a chat template.", examples=[True]
    )
