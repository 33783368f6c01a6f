"""What is asked of a model to see what it writes: said once, for all stages that ask it."""

from __future__ import annotations

from pydantic import Field

from regrow.recipe.values import Texts
from regrow.sections import Parameters


class Asking(Parameters):
    """Texts for a model to continue."""

    prompts: Texts = Field(
        default=(), description="Texts for the model to continue.", examples=[["To be, or not to be"]]
    )
