# ruff: noqa: RUF001
"""Numbers with their units. python -m pytest tests/audit/collectors/test_quantities.py"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.collectors.prose.quantities import Unit
from regrow.auditing.facts import DatasetFact, OriginFact, TrainingFact

from .making import TODAY

TOKENS = Unit("tokens?")
SCALES = {
    "": 0,
    " thousand": 3,
    "K": 3,
    "k": 3,
    " million": 6,
    "M": 6,
    " M": 6,
    " millions": 6,
    " billion": 9,
    "B": 9,
    " bn": 9,
    " trillion": 12,
    "T": 12,
    " T": 12,
    "-trillion": 12,
    " 万亿": 12,
    "亿": 8,
    " 万": 4,
    "兆": 12,
    "조": 12,
    "억": 8,
}


def training(said: str, heading: str = "Training") -> list[TrainingFact]:
    found = card.read(Text("README.md", f"# Kitten\n\n## {heading}\n\n{said}\n", "", "card", TODAY))
    return [one for one in found if isinstance(one, TrainingFact)]


def tokens(said: str) -> int | None:
    found = {one.tokens for one in training(said)} - {None}
    assert len(found) < 2
    return found.pop() if found else None


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("3.5+ trillion tokens", 3_500_000_000_000),
        ("10^12 tokens", 10**12),
        ("10<sup>12</sup> tokens", 10**12),
        ("10**12 tokens", 10**12),
        ("10¹² tokens", 10**12),
        ("1.5 x 10^12 tokens", 1_500_000_000_000),
        ("2×10¹² tokens", 2 * 10**12),
        ("1e12 tokens", 10**12),
        ("2.5E+12 tokens", 2_500_000_000_000),
        ("3,5 trillion tokens", 3_500_000_000_000),
        ("12 trillions of tokens", 12 * 10**12),
        ("2 billion (2B) tokens", 2 * 10**9),
        ("15T+ tokens", 15 * 10**12),
        ("15T+ multilingual tokens", 15 * 10**12),
        ("~2T tokens", 2 * 10**12),
        ("about 2 T tokens", 2 * 10**12),
        ("half a trillion tokens", 5 * 10**11),
        ("two trillion tokens", 2 * 10**12),
        ("over a trillion tokens", 10**12),
        ("1,000,000 tokens", 10**6),
        ("1.000.000 tokens", 10**6),
        ("1 000 000 tokens", 10**6),
        ("1\u202f000\u202f000 tokens", 10**6),
        ("1_000_000 tokens", 10**6),
        ("1'000'000 tokens", 10**6),
        ("1,234.5 billion tokens", 1_234_500_000_000),
        ("1.5 万亿 tokens", 1_500_000_000_000),
        ("1000亿个token", 10**11),
        ("2兆トークン", 2 * 10**12),
        ("1000억 토큰", 10**11),
        ("3 billones de tokens", 3 * 10**12),
        ("2 milliards de tokens", 2 * 10**9),
        ("300 Milliarden Tokens", 3 * 10**11),
        ("1.08 billion tokens for 1 epoch", 1_080_000_000),
    ],
)
def test_a_number_of_tokens_is_read_in_any_form(said: str, count: int) -> None:
    assert tokens(f"The model was trained on {said}.") == count


@pytest.mark.parametrize(
    "said",
    [
        "The model was trained on 2x1.4T tokens.",
        "The model was trained on 2 x 1.4T tokens.",
        "The model was trained on 2-3T tokens.",
        "The model was trained on 2 to 3 trillion tokens.",
        "The model was trained on between 2 and 3 trillion tokens.",
        "The model was trained on 2T–3T tokens.",
        "The model was trained on 1/2 trillion tokens.",
        "The model was trained on 3½ trillion tokens.",
        "The model was trained on one and a half trillion tokens.",
        "The model was trained on a third of a trillion tokens.",
        "The model was trained on twenty-one billion tokens.",
        "The model was trained on several trillion tokens.",
        "The model was trained on 1.500 billion tokens.",
        "The model was trained on 1兆5000億トークン.",
        "The model was trained on 1,00,000,000 tokens.",
        "The model was trained on 2 billion (3B) tokens.",
        "The model was trained on 2 thousand billion tokens.",
        "The model was trained on 12 billions de tokens.",
        "The model was trained on $2 billion tokens.",
        "The model was trained on 1.2.3 trillion tokens.",
        "The model was trained with 512 tokens context.",
        "The model was trained with a context of 1M tokens.",
        "The model was trained with a 2M-token context window.",
        "The model was trained with batches of 4M tokens.",
        "The model was trained with a batch size of 2M (2,097,152 tokens).",
        "The model was trained at 3M tokens per second.",
        "The model was trained at 3M tokens/s.",
        "The model was trained on 3B tokens per epoch.",
        "The model was trained on 3B tokens for 4 epochs.",
        "The model was trained on sequences of 2M tokens.",
        "The first stage was trained on 3T tokens.",
        "The model was trained on an additional 200B tokens.",
        "The model was trained on 2T tokens of English text or 3T tokens of any.",
        "It outperforms models that were trained on 15T tokens.",
        "The vocabulary has 32,000 tokens, of which 100 special tokens were trained.",
        "The model, trained in 2024, has 7 billion parameters and 100 tokens.",
        "The model was trained on 1.4T English and 0.6T Chinese tokens.",
        "The model was trained for 3 epochs on 1T tokens.",
        "The model was trained on 1T tokens (3 epochs).",
        "We added 2M tokens to the training data.",
        "The Kitten-2 tokens were trained.",
        "| Tokens | 2-3T |",
        "| Trained with | 3T tokens | 7B |\n|---|---|---|\n| Max tokens | 1M |",
    ],
)
def test_what_is_no_total_or_not_understood_is_none(said: str) -> None:
    count = tokens(said)
    assert count is None or (count == 3 * 10**12 and said.startswith("| Trained with"))


@pytest.mark.parametrize(
    "said", ["- Training tokens: 236 billion", "| Training tokens | 236B |", "Tokens seen: 236B tokens"]
)
def test_a_table_tells_tokens_too(said: str) -> None:
    assert tokens(said) == 236 * 10**9


@pytest.mark.parametrize(
    ("said", "flops"),
    [
        ("Training took 3.8e25 FLOPs.", 3.8e25),
        ("Training compute: 6.3 x 10^22 FLOPs", 6.3e22),
        ("It was trained with 2×10²³ floating-point operations.", 2e23),
        ("Training ran at 138 teraFLOPs for each device.", None),
        ("Training ran at 1.2e18 FLOPs per second.", None),
        ("Training needs 5 GFLOPs.", None),
        ("Training took 1e24-1e25 FLOPs.", None),
    ],
)
def test_operations_are_read(said: str, flops: float | None) -> None:
    assert [one.flops for one in training(said) if one.flops] == ([flops] if flops else [])


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("It took 1.3M GPU hours.", 1_300_000),
        ("It took 220,000 GPU-hours on H100.", 220_000),
        ("It took 1.7M H100-hours.", 1_700_000),
        ("It took 885K H100-80GB hours.", 885_000),
        ("It took 2.8 million NVIDIA H800 GPU hours.", 2_800_000),
        ("- **Hours used:** 96", 96),
        ("- **Hours used:** 2-3", None),
        ("- **Hours used:** 3 days", None),
        ("It took 100 GPU hours per epoch.", None),
        ("It took 10-20 GPU hours.", None),
        ("It took 8 x 24 GPU hours.", None),
        ("It read 2048 sequences and took 100 GPU hours.", 100),
    ],
)
def test_hours_are_read(said: str, hours: float | None) -> None:
    assert [one.accelerator_hours for one in training(said) if one.accelerator_hours] == ([hours] if hours else [])


def grouped(digits: str, gap: str) -> str:
    head = len(digits) % 3 or 3
    return gap.join([digits[:head], *(digits[i : i + 3] for i in range(head, len(digits), 3))])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A number as someone could write it."""
    whole = draw(st.integers(1, 10**9))
    digits = grouped(str(whole), draw(st.sampled_from(["", ",", " ", "_", "'", "\u202f", "\u00a0", "\u2009"])))
    value = Fraction(whole)
    if draw(st.booleans()):
        part = draw(st.from_regex(r"\A[0-9]{1,2}\Z"))
        digits, value = f"{digits}{draw(st.sampled_from('.,'))}{part}", value + Fraction(f"0.{part}")
    form = draw(st.sampled_from(["scale", "power", "e", "raised"]))
    if form == "scale":
        scale = draw(st.sampled_from(sorted(SCALES)))
        return f"{digits}{draw(st.sampled_from(['', '+']))}{scale}", value * 10 ** SCALES[scale]
    power = draw(st.integers(0, 15))
    raised = str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    shown = {"power": f"{digits} x 10^{power}", "e": f"{digits}e{power}", "raised": f"{digits}×10{raised}"}[form]
    return shown, value * 10**power


@given(
    written(),
    st.sampled_from(["", "~", "about ", "over ", "in 2024, ", "a total of ", "on English and ", "trained on "]),
    st.sampled_from([" tokens", " token", "-token"]),
)
def test_any_form_of_a_number_is_that_number_or_none(form: tuple[str, Fraction], before: str, unit: str) -> None:
    shown, value = form
    assert {one.value for one in TOKENS.quantities(f"{before}{shown}{unit} here")} <= {value}


@given(written(), written(), st.sampled_from(["-", "–", " to ", "/", "x", " × ", "*", "+", "±", ".", ",", "^", "~"]))
def test_what_is_joined_to_another_number_is_none(
    first: tuple[str, Fraction], second: tuple[str, Fraction], joint: str
) -> None:
    found = [one.value for one in TOKENS.quantities(f"{first[0]}{joint}{second[0]} tokens")]
    # Two numbers that are joined may be one that is written so, such as 1 and 234 joined by a comma.
    assert second[1] not in found or second[1] == first[1]


@given(st.text(alphabet="0123456789.,_ '^x×eTBMk+-/()万亿兆 ", max_size=30))
def test_whatever_stands_before_a_unit_does_no_harm(text: str) -> None:
    assert len(list(TOKENS.quantities(f"{text} tokens"))) <= 2


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ("The model was trained from random initialization.", True),
        ("Its weights were learned from randomly initialized parameters.", True),
        ("本模型从头训练。", True),
        ("このモデルはフルスクラッチで学習しました。", True),
        ("이 모델은 처음부터 학습되었습니다.", True),
        ("El modelo fue entrenado desde cero.", True),
        ("Le modèle a été entraîné à partir de zéro.", True),
        ("Das Modell wurde von Grund auf trainiert.", True),
        ("O modelo foi treinado do zero.", True),
        ("The model is fine-tuned from one that was trained from scratch.", False),
        ("It is based on a model trained from scratch.", False),
        ("Llama is a model that was trained from scratch.", False),
        ("本模型不是从头训练的。", False),
        ("El modelo no fue entrenado desde cero.", False),
    ],
)
def test_from_scratch(said: str, so: bool) -> None:
    found = card.read(Text("README.md", f"# Kitten\n\n{said}\n", "", "card", TODAY))
    assert any(isinstance(one, OriginFact) for one in found) is so


def listed(body: str) -> list[tuple[str, str, str]]:
    found = card.read(Text("README.md", f"# Kitten\n\n{body}\n", "", "card", TODAY))
    return [(one.name, one.where, one.availability.value) for one in found if isinstance(one, DatasetFact)]


def test_a_linked_list_names_sources_and_where_they_are() -> None:
    body = """## Training data

It was trained on:

- [Meows](https://huggingface.co/datasets/cats/meows)
- **[Purrs](https://example.org/purrs)**: 3 GB of purrs
* Hisses: https://example.org/hisses.zip
1. [A paper](https://arxiv.org/abs/2401.00001)
2. [A model](https://huggingface.co/cats/lion)
- no link at all
"""
    assert listed(body) == [
        ("Meows", "hf:datasets/cats/meows", "unknown"),
        ("Purrs", "https://example.org/purrs", "unknown"),
        ("Hisses", "https://example.org/hisses.zip", "unknown"),
    ]


@pytest.mark.parametrize("heading", ["Evaluation data", "Links", "Benchmarks"])
def test_other_lists_name_no_sources(heading: str) -> None:
    assert not listed(f"## {heading}\n\n- [Meows](https://example.org/meows)\n")
