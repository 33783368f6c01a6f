"""lm-eval on our engine: its tasks, our bits. Needs the extra `eval`.

    lm_eval.simple_evaluate(model=ReleaseLM(subject.answering, subject.form()), tasks=["lambada_openai"])

A task is a YAML file of lm-eval's with its data beside it, since nothing is fetched while a model is judged. Scores do
not depend on the size of a batch, so there is none to choose.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from lm_eval.api.model import LM

from regrow.corpus.conversations import Message
from regrow.errors import InputError, RegrowError
from regrow.evaluating.asking import Answering
from regrow.evaluating.forms import Form
from regrow.evaluating.scores import Measure, Score, ratio
from regrow.evaluating.tasks import Hub
from regrow.model.sampling import Sampling
from regrow.store.digest import canonical_json
from regrow.words import listed, shown

_MOST = 256
"""Tokens that lm-eval lets a model write where a task does not say it."""
_FUNCTION = "!function"
_DATA = "json"
_LARGEST = 64 << 20
_STDERR = "_stderr"


class ReleaseLM(LM):  # type: ignore[misc]
    """A release as lm-eval asks models: by log-likelihoods and by what it writes."""

    def __init__(self, answering: Answering, form: Form) -> None:
        super().__init__()
        self._answering, self._form = answering, form

    def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """How likely continuations are, and whether the model would write them."""
        asked = (request.args for request in requests)
        spans = [self._form.span(context, continuation, _where(i)) for i, (context, continuation) in enumerate(asked)]
        return [(one.total, one.greedy) for one in self._answering.likely(spans)]

    def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
        """How likely whole texts are."""
        stretches = [list(self._form.windows(one.args[0], _where(i))) for i, one in enumerate(requests)]
        found = self._answering.likely([span for each in stretches for span in each])
        return [sum(one.total for one in islice(found, len(each))) for each in stretches]

    def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
        """What it writes."""
        writings = []
        for i, (context, said) in enumerate(one.args for one in requests):
            most, stops, sampling = _asked(said)
            writings.append(self._form.writing(context, most, stops, _where(i), sampling))
        return [one.text for one in self._answering.written(writings)]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as one text."""
        if self._form.template is None:
            raise InputError("the model has no chat template", hint="leave `apply_chat_template` out")
        messages = [Message(one["role"], one["content"]) for one in chat_history]
        return self._form.template.render(messages, prompt=add_generation_prompt)

    @property
    def tokenizer_name(self) -> str:
        """Tells one template from another, for lm-eval's own records."""
        return hashlib.sha256(self.chat_template().encode()).hexdigest()

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The template; empty if there is none."""
        return self._form.template.source if self._form.template else ""


def _where(number: int) -> str:
    return f"request {number}"


def _asked(said: Mapping[str, Any]) -> tuple[int, tuple[str, ...], Sampling]:
    """How much is to be written, where it ends, and how tokens are chosen.

    Raises:
        InputError: if something is asked for that is not there, since leaving it out would change the scores.
    """
    told = dict(said)
    most = next((told.pop(key) for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in told), _MOST)
    until = told.pop("until", [])
    temperature, samples = float(told.pop("temperature", 0.0)), told.pop("do_sample", None)
    sampling = Sampling(
        temperature if samples is not False else 0.0, int(told.pop("top_k", 0)), int(told.pop("seed", 1234))
    )
    if told:
        raise InputError(f"the engine knows no {listed(sorted(told))}", where="generation_kwargs")
    stops = [until] if isinstance(until, str) else until
    return int(most), tuple(one for one in stops if one), sampling


def judge(path: Path, form: Form, answering: Answering, limit: int | None = None, code: bool = False) -> list[Score]:
    """What a model reaches in a task of lm-eval's.

    Args:
        path: the YAML file.
        form: how it is asked.
        answering: who answers.
        limit: items to ask, at most.
        code: whether Python that lies beside the task may be run.

    Raises:
        InputError: if the task cannot be read or run.
    """
    with _quietly(), _told(path):
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        found = simple_evaluate(
            model=ReleaseLM(answering, form),
            tasks=[_config(path, code)],
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=form.template is not None,
            task_manager=TaskManager(include_defaults=False),
            confirm_run_unsafe_code=code,
        )
    samples = found["samples"]
    return [_score(name, found["results"][name], samples[name], found["configs"][name]) for name in samples]


@contextmanager
def _quietly() -> Iterator[None]:
    """lm-eval and what it uses tell much that is not about the task."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):  # bars, and words of libraries
            yield
    finally:
        logging.disable(before)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except RegrowError as error:
        error.where = f"{path}: {error.where}" if error.where and str(path) not in error.where else str(path)
        raise
    except Exception as error:  # whatever a task of a stranger's may lead to
        why = f"{type(error).__name__}: {error}"
        raise InputError("lm-eval cannot run this task", where=str(path), why=why) from error


def _config(path: Path, code: bool) -> dict[str, Any]:
    """The task as lm-eval has it, with its data read here."""
    from lm_eval.tasks._yaml_loader import load_yaml

    if not code:
        _require_no_code(path, set())
    said: dict[str, Any] = load_yaml(path)
    if not isinstance(said.get("task"), str):
        raise InputError("this is no task", where=str(path), why="it has no `task`, which names it")
    kwargs = dict(said.pop("dataset_kwargs", None) or {})
    if said.get("dataset_path") != _DATA or "data_files" not in kwargs:
        raise InputError(
            "the task does not say where its data lie",
            where=f"{path}: dataset_path",
            why=f"it is {shown(said.get('dataset_path'))}, and nothing is fetched while a model is judged",
            hint="put the items beside it: `dataset_path: json`, `dataset_kwargs: {data_files: {test: my.jsonl}}`",
        )
    files = kwargs["data_files"]
    splits = files if isinstance(files, dict) else {"train": files}
    said["custom_dataset"] = _dataset(path.parent, splits)
    return said


def _dataset(folder: Path, splits: Mapping[str, Any]) -> Callable[..., Any]:
    import datasets

    def rows(names: Any) -> list[Any]:
        return [row for name in ([names] if isinstance(names, str) else names) for row in _rows(folder / name)]

    found = datasets.DatasetDict({split: datasets.Dataset.from_list(rows(names)) for split, names in splits.items()})
    return lambda **_: found


def _rows(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InputError("the data cannot be read", where=str(path), why=f"it has more than {_LARGEST:,} bytes")
        lines = data.decode("utf-8-sig")
        whole = json.loads(lines) if path.suffix == ".json" else [json.loads(one) for one in lines.splitlines() if one]
    except OSError as error:
        raise InputError("the data cannot be read", where=str(path), why=(error.strerror or "").lower()) from error
    except ValueError as error:
        raise InputError("the data cannot be read", where=str(path), why=str(error)) from error
    if not isinstance(whole, list) or not whole or not all(isinstance(row, dict) for row in whole):
        raise InputError("the data cannot be read", where=str(path), why="it is no list of JSON objects")
    return whole


def _require_no_code(path: Path, seen: set[Path]) -> None:
    """Refuse a task that brings Python, or includes one that does."""
    if path in seen:
        return
    seen.add(path)
    try:
        text = path.read_text("utf-8")
        brings = any(getattr(event, "tag", None) == _FUNCTION for event in yaml.parse(text, yaml.SafeLoader))
        said = yaml.load(text, _Plain)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError("the task cannot be read", where=str(path), why=str(error)) from error
    if brings:
        raise InputError(
            "the task brings Python of its own",
            where=str(path),
            why=f"it names functions by `{_FUNCTION}`",
            hint="read them, and let them run with `--run-code` if you trust who wrote them",
        )
    included = said.get("include", []) if isinstance(said, dict) else []
    for name in [included] if isinstance(included, str) else included:
        _require_no_code(path.parent / str(name), seen)


class _Plain(yaml.SafeLoader):
    """Reads values, and names of functions as texts."""


_Plain.add_constructor(_FUNCTION, lambda _, node: str(node.value))


def _score(
    name: str, results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> Score:
    asked = [_plain(one["arguments"]) for one in samples]
    said = tuple({"item": one["doc_id"], "said": _plain(one["filtered_resps"])} for one in samples)
    shown_on = config.get("metadata") or {}
    return Score(
        name,
        hashlib.sha256(canonical_json(asked)).hexdigest(),
        tuple(_measures(results, samples)),
        said,
        how=_plain(config.get("generation_kwargs")) or None,
        hub=Hub(shown_on["dataset"], shown_on.get("dataset_task", name)) if "dataset" in shown_on else None,
        by=f"lm-eval {version('lm-eval')}",
    )


def _measures(results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> Iterator[Measure]:
    """The numbers of lm-eval, with standard errors of ours where they are means over the items."""
    for key, value in results.items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith(_STDERR) or not isinstance(value, int | float):
            continue
        each = [one[metric] for one in samples if one.get("filter", filtered) == filtered and metric in one]
        plain = [float(one) for one in each if isinstance(one, int | float)]
        mean, error = ratio([(one, 1.0) for one in plain]) if plain and len(plain) == len(each) else (math.nan, None)
        is_mean = math.isclose(mean, float(value), rel_tol=1e-12, abs_tol=1e-15)
        yield Measure(metric if filtered == "none" else key, float(value), error if is_mean else None)


def _plain(value: Any) -> Any:
    """Anything as what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
