"""Leave out what a removal names."""

from __future__ import annotations

from regrow.corpus.documents import DOCUMENTS, EXCLUDED, DocumentsWriter, documents_of, tables
from regrow.corpus.removal import SOURCE, Removal
from regrow.formats import parts
from regrow.recipe.kind import Kind, Phase, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import texts_held, through_text


class WithoutParameters(Parameters):
    """There is nothing to choose."""


def keep(task: Task[WithoutParameters]) -> None:
    """Write the documents of a part, without those that go."""
    import pyarrow as pa
    import pyarrow.compute as pc

    call, removal = task.call, Removal.open(task.files.path(task.call.input("removal")))
    given = part_of(task)
    sources, ids = (pa.array(sorted(one), pa.string()) for one in (removal.sources, removal.documents))
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for batch in (batch for table in tables(EXCLUDED, given) for batch in table.batches()):
            writer.exclusions.extend(batch)
        for batch in (batch for table in tables(DOCUMENTS, given) for batch in table.batches()):
            goes = pc.or_(pc.is_in(batch.column("source"), sources), pc.is_in(batch.column("id"), ids))
            writer.documents.extend(batch.filter(pc.invert(goes)))
            for document in documents_of(batch.filter(goes)):
                reason, detail = removal.why(document.id, document.source) or (SOURCE, "")
                writer.exclude(document.excluded("without", reason, detail))
            if call.context.stopping():
                call.context.stop()


KIND = Kind(
    name="without",
    version=1,
    parameters=WithoutParameters,
    inputs={"documents": Slot("documents"), "removal": Slot("removal")},
    output="documents",
    phases=(Phase("keep", keep, parts_of, kept=True),),
    libraries=("pyarrow",),
    summary="leave out what is not to be learnt from",
    table=Table("without"),
    after=("deduplicate",),
    cost=through_text("documents", 80e6),
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
