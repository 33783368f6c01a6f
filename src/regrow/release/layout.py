"""Where things lie in a release: every name stands here and nowhere else."""

from __future__ import annotations

from regrow.corpus import evaluation, tokenizer
from regrow.evidence import record
from regrow.sources import records

SUMS = "SHA256SUMS"
RECIPE = "regrow.toml"
LOCK = "regrow.lock"
CARD = "README.md"
LICENCE = "LICENSE"
PAPER = "paper.md"

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"
"""Which of several files holds which tensor, where the weights are more than one file holds."""
CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER = tokenizer.FILE
TEMPLATE = tokenizer.TEMPLATE
TOKENIZER_CONFIG = tokenizer.CONFIG
SPECIAL_TOKENS = tokenizer.SPECIAL

EVALUATION = evaluation.MEASURED
SAMPLES = evaluation.SAMPLES
EFFECTS = evaluation.EFFECTS
EVIDENCE = record.FOLDER
CHAIN = "training/chain.jsonl"
LOSSES = "training/losses.jsonl"

MANIFEST = "data/documents.parquet"
EXCLUDED = "data/excluded.parquet"
TOKENS = "data/tokens.parquet"

PROVENANCE = "provenance"
STATEMENT = ".intoto.json"

LINEAGE = records.FOLDER

REPORT = "report.html"
BUILDINFO = "buildinfo"
DATES = f"{BUILDINFO}/build.json"
ENVIRONMENT = f"{BUILDINFO}/environment.json"
TIMINGS = f"{BUILDINFO}/timings.json"
COMPARISON = f"{BUILDINFO}/comparison.json"
WHOLE = "whole"
"""What :data:`COMPARISON` calls the model from which something was left out."""
FORK = f"{BUILDINFO}/fork.json"
"""What it was forked from, if it was."""
EVENTS = f"{BUILDINFO}/events.jsonl"
METRICS = f"{BUILDINFO}/metrics.csv"

STATES = "states"
"""Complete states of the training on the way. The chain names each by its digest, so they may lie elsewhere too."""

ATTESTATIONS = "attestations"
"""What others sign about the release, which they can only once it is there."""

UNCOVERED = (SUMS, REPORT, BUILDINFO, STATES, ATTESTATIONS)
"""What the release digest does not cover: itself, a rendering of what it covers, what differs between machines, what is
as large as it is dispensable, and what others say.
"""
GIVEN = (RECIPE, LOCK, LICENCE, PAPER)
"""What its makers say, from which the rest follows or which stands for itself."""


def evidence_path(stage: str) -> str:
    """Where what a check found lies, if the kind of the stage releases it where all do."""
    return f"{EVIDENCE}/{stage}/{record.EVIDENCE}"


def statement_path(stage: str) -> str:
    """Where the statement about a stage lies."""
    return f"{PROVENANCE}/{stage}{STATEMENT}"


def is_covered(path: str) -> bool:
    """Whether the release digest covers a file, by its path in the release."""
    return path.partition("/")[0] not in UNCOVERED
