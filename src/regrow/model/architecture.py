"""The shape of a decoder as a recipe says it, and what it costs to compute."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from regrow.sections import Section, fault
from regrow.words import listed


class Architecture(Section):
    """The shape of the decoder: of the Llama kind, with RMSNorm, rotary positions, SwiGLU and grouped queries."""

    layers: int = Field(description="Blocks, one above the other.", examples=[6], ge=1, le=4096)
    width: int = Field(description="Of the residual stream.", examples=[256], ge=2, le=2**20)
    heads: int = Field(
        description="Query heads. They divide the width, and the width of a head is even.", examples=[4], ge=1, le=2**16
    )
    kv_heads: int = Field(
        default_factory=lambda data: data.get("heads", 1),
        description="Key and value heads, which divide the query heads.",
        examples=[2],
        ge=1,
        le=2**16,
        json_schema_extra={"fallback": "as `heads`"},
    )
    hidden: int = Field(
        default_factory=lambda data: max(32, (data.get("width", 0) + 6) // 12 * 32),
        description="Width of the gated feed-forward layer.",
        examples=[672],
        ge=1,
        le=2**22,
        json_schema_extra={"fallback": "the multiple of 32 nearest 8/3 of `width`"},
    )
    context: int = Field(description="Longest sequence, in tokens.", examples=[256], ge=2, le=2**17)
    tied_embeddings: bool = Field(
        default=True, description="Whether the output matrix is the embedding.", examples=[False]
    )
    rope_theta: float = Field(
        default=10000.0, description="Base of the rotary positions.", examples=[500000.0], ge=1, le=1e12
    )
    norm_epsilon: float = Field(
        default=1e-5, description="Added to the mean square in normalisation.", examples=[1e-6], gt=0, le=1
    )

    @field_validator("heads")
    @classmethod
    def _divides_width(cls, value: int, info: ValidationInfo) -> int:
        width = info.data.get("width")
        if width is None:
            return value
        fitting = listed(str(n) for n in _head_counts(width, near=value))
        hint = f"for this width choose {fitting}" if width % 2 == 0 else "choose an even width"
        if width % value:
            raise fault(f"{value} heads do not divide the width {width}", hint=hint)
        if width // value % 2:
            raise fault(
                f"{value} heads of a width of {width} are {width // value} wide, which is odd",
                why="rotary positions turn pairs of numbers",
                hint=hint,
            )
        return value

    @field_validator("kv_heads")
    @classmethod
    def _divides_heads(cls, value: int, info: ValidationInfo) -> int:
        heads = info.data.get("heads")
        if heads is not None and heads % value:
            fitting = listed(str(n) for n in range(1, heads + 1) if heads % n == 0)
            raise fault(f"{value} key and value heads do not divide {heads} heads", hint=f"choose one of {fitting}")
        return value


def _head_counts(width: int, near: int) -> list[int]:
    """The numbers of heads that suit a width, at most four, those nearest to ``near``."""
    fitting = [n for n in range(1, min(width, 2**16) + 1) if width % (2 * n) == 0]
    return sorted(sorted(fitting, key=lambda n: abs(n - near))[:4])


def parameter_count(architecture: Architecture, vocabulary: int) -> int:
    """Count the numbers that a decoder learns."""
    gains = (2 * architecture.layers + 1) * architecture.width
    head = 0 if architecture.tied_embeddings else vocabulary * architecture.width
    return _product_weights(architecture, vocabulary) + gains + head


def forward_flops(architecture: Architecture, vocabulary: int) -> int:
    """Count the operations in the matrix products of one sequence of full length.

    Two for each weight and token, and in each layer two products of ``context x context x width`` for attention, in
    full though half is masked: the count of Chowdhery et al., PaLM (2022), appendix B.
    """
    context = architecture.context
    attention = 4 * architecture.layers * architecture.width * context * context
    return 2 * _product_weights(architecture, vocabulary) * context + attention


def _product_weights(architecture: Architecture, vocabulary: int) -> int:
    """The weights that every token is multiplied with; looking up an embedding multiplies nothing."""
    width, heads = architecture.width, architecture.heads
    keys_and_values = 2 * architecture.kv_heads * (width // heads) * width
    layer = 2 * width * width + keys_and_values + 3 * width * architecture.hidden
    return architecture.layers * layer + vocabulary * width
