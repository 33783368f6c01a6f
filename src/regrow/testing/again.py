"""A release's own tests: its prompts, samples and scores asked again, and compared with what it keeps.

What is kept may be that of another release, to see what a new one does otherwise.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from regrow.corpus.chat import opening
from regrow.errors import InputError, RegrowError
from regrow.evaluating import tasks
from regrow.evaluating.alone import Alone
from regrow.evaluating.asking import Answering, Writing, Written
from regrow.evaluating.names import known
from regrow.evaluating.prompts import Answered
from regrow.evaluating.scores import Score, judge
from regrow.exact.version import INFERENCE
from regrow.model import weights
from regrow.model.decoder import Decoder
from regrow.model.sampling import Sampling
from regrow.release import Release, asked
from regrow.release.layout import RECIPE
from regrow.testing.subject import Subject, subject
from regrow.testing.together import BATCH

Verdict = Literal["passed", "failed", "skipped"]
_EVALUATE = "evaluate"
_SAMPLING = ("sample_tokens", "temperature", "seed")


@dataclass(frozen=True)
class Case:
    """One thing that was asked again.

    Attributes:
        kind: ``prompt``, ``sample`` or ``score``.
        name: of it.
        verdict: what came of it.
        why: it failed or was skipped; empty if it passed.
        diff: lines that show what changed.
        hint: what to do.
    """

    kind: str
    name: str
    verdict: Verdict
    why: str = ""
    diff: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of all of it.

    Attributes:
        name: of the release.
        digest: of the release that was asked.
        kept: the digest of the one whose answers were compared.
        cases: what was asked, in order.
    """

    name: str
    digest: str
    kept: str
    cases: tuple[Case, ...]

    @property
    def failed(self) -> tuple[Case, ...]:
        """What came out otherwise."""
        return tuple(case for case in self.cases if case.verdict == "failed")


@dataclass(frozen=True)
class _Sample:
    """A sample of a release, with how it was written."""

    prompt: str
    text: str
    continues: bool
    most: int
    sampling: Sampling

    def writing(self, who: Subject) -> Writing:
        template = None if self.continues else who.generator.template
        tokens = opening(who.generator.tokenizer, template, self.prompt)
        return Writing(tuple(tokens), self.most, (), self.sampling)


def ask_again(folder: Path, against: Path | None = None, batch: int = BATCH) -> Outcome:
    """Ask a release again what it, or another one, keeps answers to.

    Args:
        folder: of the release that is asked.
        against: of the one whose answers are compared; by default the same.
        batch: texts at a time; nothing depends on it.

    Raises:
        InputError: if nothing is kept, or a release cannot be read.
    """
    release, kept = Release.open(folder), Release.open(against or folder)
    answers, samples, scores = asked.answers(kept), list(_samples(kept)), asked.scores(kept)
    if not (answers or samples or scores):
        raise InputError(
            "the release keeps nothing that could be asked again",
            where=str(kept.path),
            why=f"its {RECIPE} has no `[[prompt]]`, no `[[score]]` and no prompts in `[evaluate]`",
            hint="add a `[[prompt]]` to the recipe and build it again",
        )
    with subject(folder, batch) as who:
        cases = (
            *_prompts(answers, who, release is kept or release.digest == kept.digest),
            *_sampled(samples, who),
            *(case for name, one in scores.items() for case in _scored(name, one, kept, who)),
        )
    return Outcome(release.name or folder.name, release.digest, kept.digest, cases)


def _prompts(answers: Mapping[str, Answered], who: Subject, ours: bool) -> Iterator[Case]:
    writings: dict[str, Writing] = {}
    for name, one in answers.items():
        try:
            writings[name] = one.prompt.writing(
                who.generator.tokenizer, who.generator.template, who.generator.decoder.config.context, name
            )
        except RegrowError as error:
            yield Case("prompt", name, "failed", f"it cannot be asked: {error.what}", hint=error.hint)
    for name, written in zip(writings, who.answering.written([*writings.values()]), strict=True):
        yield _prompted(name, answers[name], writings[name], written, ours)


def _prompted(name: str, was: Answered, writing: Writing, written: Written, ours: bool) -> Case:
    now = Answered.of(was.prompt, writing, written, was.expect, was.contains)
    changed = diff(was.text, now.text)
    if now.unmet:
        said = json.dumps(now.text.strip(), ensure_ascii=False)
        entry, line = f"`expect = {said}` in its `[[prompt]]`", f'`"expect": {said}` in its line of the file'
        accept = f"if that is right now, write {line if '/' in name else entry}"
        return Case("prompt", name, "failed", now.unmet, changed, accept)
    if changed:
        put = "" if now.rendered == was.rendered else "it is put in other tokens, and "
        return Case("prompt", name, "failed", f"{put}the answer is another", changed, _BUILT if ours else "")
    if (now.rendered, now.tokens, now.ended) != (was.rendered, was.tokens, was.ended) and ours:
        return Case("prompt", name, "failed", "the text is the same, and its tokens are not", (), _BUILT)
    return Case("prompt", name, "passed")


_BUILT = "the release does not do here what it did where it was built: `regrow verify` and `regrow selftest` say why"


def _samples(release: Release) -> Iterator[_Sample]:
    """The samples of a release; none if it does not say how they were written."""
    said = release.statement(_EVALUATE)
    told = said.parameters if said else {}
    if not all(isinstance(told.get(key), int | float) for key in _SAMPLING):
        return
    for one in release.samples:
        sampling = Sampling(temperature=float(told["temperature"]), seed=int(told["seed"]))
        yield _Sample(one.prompt, one.text, bool(told.get("continues")), int(told["sample_tokens"]), sampling)


def _as_evaluated(who: Subject) -> Answering:
    """Answers as `evaluate` has them: of float32 numbers, whatever the weights are stored as."""
    if all(isinstance(x, Tensor) for x in who.generator.parameters.values()):
        return who.answering
    config, parameters = weights.load(who.folder)
    return Alone(Decoder(config), parameters, who.generator.tokenizer, who.generator.stops)


def _sampled(samples: list[_Sample], who: Subject) -> Iterator[Case]:
    written = _as_evaluated(who).written([one.writing(who) for one in samples])
    for number, (one, now) in enumerate(zip(samples, written, strict=True), 1):
        changed = diff(one.text, now.text)
        why = "what it writes is another text" if changed else ""
        yield Case("sample", str(number), "failed" if changed else "passed", why, changed)


def _scored(name: str, kept: Mapping[str, Any], release: Release, who: Subject) -> Iterator[Case]:
    """The tasks of one set of scores."""
    if kept["arithmetic"]["inference"] != INFERENCE:
        why = f"they are of version {kept['arithmetic']['inference']} of the arithmetic, and this is {INFERENCE}"
        for one in kept["scores"]:
            yield Case("score", f"{name}/{one['task']}", "failed", why)
        return
    brought = {task.name: task for task in map(tasks.read, asked.items(release, name))}
    for one in kept["scores"]:
        title = f"{name}/{one['task']}"
        form = who.form(bool((one.get("how") or {}).get("chat")))
        task = brought.get(one["task"])
        if task is None and one["task"] not in known():
            why = "its items may not be shared, and are not in the release"
            yield Case("score", title, "skipped", why, hint="who has them can ask with `regrow eval --tasks FILE`")
            continue
        task = task or tasks.find(one["task"])
        if task.digest(form) != one["asked"]:
            why = "its items are put otherwise now, so the scores cannot be compared"
            yield Case("score", title, "failed", why)
            continue
        yield _compared(title, one, judge(task, form, who.answering))


def _compared(title: str, was: Mapping[str, Any], now: Score) -> Case:
    if was["digest"] == now.digest:
        return Case("score", title, "passed")
    lines = []
    for one in now.measures:
        before = was["measures"].get(one.name, {}).get("value")
        if before != one.value:
            lines += [f"-{one.name} {before!r}", f"+{one.name} {one.value!r}"]
    why = "the scores are others" if lines else "the scores are the same, and what was said to single items is not"
    return Case("score", title, "failed", why, tuple(lines))


def diff(was: str, now: str) -> tuple[str, ...]:
    """The lines that differ, those that were there behind ``-`` and those that are behind ``+``; none if none do."""
    if was == now:
        return ()
    lines = difflib.unified_diff(was.splitlines(), now.splitlines(), lineterm="", n=1)
    found = tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))
    return found or (f"-{was!r}", f"+{now!r}")  # they differ in what ends a line
