"""The engine: keys, the cache, events, and what to say when a stage fails."""

from regrow.engine.context import Listener, StageContext, Stop
from regrow.engine.evaluation import Evaluation, StageResult, alone, evaluate, is_parted, rerun, share, some
from regrow.engine.explain import why
from regrow.engine.forecasts import Forecast, forecast
from regrow.engine.key import ingredients, key_of, library_version
from regrow.engine.runners import Choice

__all__ = [
    "Choice",
    "Evaluation",
    "Forecast",
    "Listener",
    "StageContext",
    "StageResult",
    "Stop",
    "alone",
    "evaluate",
    "forecast",
    "ingredients",
    "is_parted",
    "key_of",
    "library_version",
    "rerun",
    "share",
    "some",
    "why",
]
