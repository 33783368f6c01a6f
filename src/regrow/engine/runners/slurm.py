"""A script that has the tasks of a build done by array jobs under Slurm.

How many tasks a phase has may follow from what was made before, and clusters limit how large an array may be. So an
array has as many jobs as were asked for, and each does its share of whatever tasks there are.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from regrow.recipe.graph import Graph, Stage

_HEAD = """\
#!/bin/bash
# Builds {name} under Slurm, with up to {jobs} jobs at a time for each phase of a stage. Run it where jobs can be
# submitted. Run it again after a failure: what is done is not done again. All machines need this regrow, and see the
# recipe and the store under these paths. SBATCH_PARTITION, SBATCH_ACCOUNT and the like say where jobs go.
set -euo pipefail
export REGROW_STORE={store}
submit() {{ local id; id=$(sbatch --parsable --export=ALL --kill-on-invalid-dep=yes "$@"); echo "${{id%%;*}}"; }}
cd {folder}
regrow lock {recipe}
"""


def script(graph: Graph, recipe: Path, store: Path, *, name: str, jobs: int, last: str = "") -> str:
    """The script.

    Args:
        graph: what is built.
        recipe: its folder.
        store: which all machines share.
        name: what jobs are called, with the stage behind it.
        jobs: how many an array has.
        last: a script for ``sbatch`` that builds what remains; by default one process does.
    """
    place = shlex.quote(str(recipe.absolute()))
    head = _HEAD.format(
        name=name,
        jobs=jobs,
        store=shlex.quote(str(store.absolute())),
        folder=place,
        recipe=place,
    )
    before = _before(graph)
    ids = {stage.name: f"job{number}" for number, stage in enumerate(before) if stage.inputs}
    lines = [line for stage in before for line in _stage(stage, ids, place, name, jobs)]
    return head + "\n".join((*lines, _rest(ids.values(), place, name, last)))


def _before(graph: Graph) -> list[Stage]:
    """The stages that have phases, and all that they need."""
    phased = [stage for stage in graph.stages if stage.kind.phases]
    wanted = {stage.name for stage in phased} | {one.name for stage in phased for one in graph.ancestors(stage)}
    return [stage for stage in graph.stages if stage.name in wanted]


def _stage(stage: Stage, ids: dict[str, str], recipe: str, name: str, jobs: int) -> Iterator[str]:
    """The lines for a stage: arrays for its phases, one after the other, and a job that takes their results together.

    One that needs no other, which is to fetch something, is done at once: often only this machine has a network.
    """
    command = f"regrow task {recipe} {stage.name}"
    if not stage.inputs:
        yield command
        return
    one = ids[stage.name]
    after = [ids[need] for need in sorted(stage.needs) if need in ids]
    for number, phase in enumerate(stage.kind.phases):
        share = f'{command} {phase.name} --share "$SLURM_ARRAY_TASK_ID/{jobs}"'
        array = f"--array 0-{jobs - 1} "
        yield _submit(f"{one}_{number}", f"{name}-{stage.name}-{phase.name}", after, share, array)
        after = [f"{one}_{number}"]
    yield _submit(one, f"{name}-{stage.name}", after, command)


def _submit(variable: str, job: str, after: list[str], command: str, options: str = "") -> str:
    return f"{variable}=$(submit --job-name {shlex.quote(job)} {_after(after)}{options}--wrap {shlex.quote(command)})"


def _after(ids: list[str]) -> str:
    return f"--dependency afterok{''.join(f':${one}' for one in ids)} " if ids else ""


def _rest(ids: Iterable[str], recipe: str, name: str, last: str) -> str:
    """The line for what remains, training as a rule."""
    options = f"--job-name {shlex.quote(name)} {_after(list(ids))}"
    if not last:
        return f"submit {options}--wrap {shlex.quote(f'regrow build {recipe}')}"
    return f"submit {options}<<'END'\n{last}\nEND"
