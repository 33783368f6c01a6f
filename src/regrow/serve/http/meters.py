"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from regrow.serve.engine import Engine

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
_COUNTED = (
    ("read", "read_tokens", "Tokens that were read."),
    ("found", "found_tokens", "Tokens that needed not be read, since they were kept from before."),
    ("written", "written_tokens", "Tokens that were written."),
    ("passes", "passes", "Passes through the model, each for all texts that are being written."),
    ("dropped", "dropped_texts", "Texts that had to make room for older ones, and were read again."),
)
_STANDING = (
    ("waiting", "waiting_texts", "Texts that wait to be begun, or to be gone on with."),
    ("running", "running_texts", "Texts that are being written."),
    ("memory_bytes", "cache_bytes", "Bytes of keys and values."),
    ("kept_bytes", "kept_cache_bytes", "Of these, kept for others that begin alike."),
    ("most_memory_bytes", "most_cache_bytes", "Bytes that these may take."),
)


class Meters:
    """Counts of one server; see docs/serve.md for what they mean."""

    def __init__(self, engine: Engine) -> None:
        """Count, beside what an engine does by itself."""
        self._all = every = CollectorRegistry()
        every.register(_Figures(engine))
        self.requests = Counter("regrow_requests", "Requests, by path and status.", ["path", "status"], registry=every)
        self.cancelled = Counter(
            "regrow_cancelled_texts", "Texts given up before their end, and why.", ["why"], registry=every
        )
        self.texts = Gauge("regrow_texts", "Texts that somebody waits for.", registry=every)
        self.first = Histogram(
            "regrow_read_seconds", "From a request to its prompt having been read.", buckets=_SECONDS, registry=every
        )
        self.whole = Histogram("regrow_answer_seconds", "From a request to its end.", buckets=_SECONDS, registry=every)

    def told(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._all)


class _Figures(Collector):
    """What an engine says of itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All of it at one moment."""
        figures = self._engine.figures
        for name, called, help in _COUNTED:
            yield CounterMetricFamily(f"regrow_{called}", help, getattr(figures, name))
        for name, called, help in _STANDING:
            yield GaugeMetricFamily(f"regrow_{called}", help, getattr(figures, name))
