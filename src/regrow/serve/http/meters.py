"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Meters:
    """Counts of one server; see docs/serve.md for what they mean."""

    def __init__(self) -> None:
        self._all = every = CollectorRegistry()
        self.requests = Counter("regrow_requests", "Requests, by path and status.", ["path", "status"], registry=every)
        self.prompt_tokens = Counter("regrow_prompt_tokens", "Tokens of prompts.", registry=every)
        self.cached_tokens = Counter(
            "regrow_cached_prompt_tokens", "Of these, read for an earlier request.", registry=every
        )
        self.written_tokens = Counter("regrow_written_tokens", "Tokens of answers.", registry=every)
        self.cancelled = Counter(
            "regrow_cancelled_texts", "Texts given up before their end, and why.", ["why"], registry=every
        )
        self.texts = Gauge("regrow_texts", "Texts that are written or wait for it.", registry=every)
        self.first = Histogram(
            "regrow_first_token_seconds", "From a request to its first token.", buckets=_SECONDS, registry=every
        )
        self.whole = Histogram("regrow_answer_seconds", "From a request to its end.", buckets=_SECONDS, registry=every)

    def told(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._all)
