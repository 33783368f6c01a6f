"""Turning report data into one HTML file that needs nothing else: no script, no font, no image, no request."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from regrow.release.lineage import made
from regrow.release.release import Loss
from regrow.report.chart import Curve, curve, every, graph_drawing, loss_chart
from regrow.report.data import ReportData, Source

if TYPE_CHECKING:
    from markupsafe import Markup

_SAMPLES = 8  # of those on the way
_COLOURS = 8  # in style.css, as --c0 to --c7


def render(data: ReportData) -> str:
    """The report as HTML. Every text in ``data`` is taken as text, whatever it looks like."""
    from regrow.report import said

    return page(
        files("regrow.report").joinpath("report.html.j2").read_text("utf-8"),
        data=data,
        said=said,
        # The loss on validation text is that of the released weights, which others may have changed since.
        chart=loss_chart(data.losses, data.validation_loss if len(data.line) <= 1 else None),
        curves=[one for one in _curves(data.losses) if one is not None],
        on_the_way=_on_the_way(data.losses),
        graph=graph_drawing(data.stages),
        coloured=[(source, f"--c{i % _COLOURS}") for i, source in enumerate(_by_bytes(data.sources))],
        total_bytes=sum(source.bytes for source in data.sources),
        total_documents=sum(source.documents for source in data.sources),
        dropped=sum(exclusion.documents for exclusion in data.exclusions),
        worst=max((measure.bits_per_byte for measure in data.measures), default=1.0) or 1.0,
        total_seconds=sum(stage.seconds or 0.0 for stage in data.stages),
    )


def page(template: str, **values: Any) -> str:
    """A page that looks as the report does: what a template makes of some values, each of which is taken as text."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=count,
        size=size,
        seconds=seconds,
        share=share,
        json=pretty_json,
        link=link,
        licence_link=licence_link,
        made=made,
        quoted=quoted,
    )
    style = files("regrow.report").joinpath("style.css").read_text("utf-8")
    return environment.from_string(template).render(style=style, **values)


def _curves(losses: Sequence[Loss]) -> Iterator[Curve | None]:
    yield curve("Learning rate", [(row.step, row.learning_rate) for row in losses])
    yield curve("Gradient norm", [(row.step, row.gradient_norm) for row in losses])


def _on_the_way(losses: Sequence[Loss]) -> list[Loss]:
    """The steps after which the model wrote something, evenly spread if there are many."""
    found = [row for row in losses if row.sample]
    return [found[i] for i in every(len(found), _SAMPLES)]


def _by_bytes(sources: tuple[Source, ...]) -> list[Source]:
    return sorted(sources, key=lambda source: (-source.bytes, source.name))


def count(value: Any) -> str:
    """A number with separators between thousands; anything else as it is."""
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def size(value: int) -> str:
    """Bytes in the unit that suits them: 999 B, 8.4 MB."""
    if value < 1000:
        return f"{value} B"
    power = min(4, int(math.log10(value)) // 3)
    return f"{value / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def seconds(value: float) -> str:
    """A duration as people say it: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def quoted(text: str) -> Markup:
    """A sentence as HTML: what stands between two backticks is code, all else is text, whatever it looks like."""
    from markupsafe import Markup, escape

    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one of them has no other
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(piece) if at % 2 else escape(piece) for at, piece in enumerate(pieces))


def share(part: float, whole: float) -> str:
    """A percentage; small ones are not rounded to nothing."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def pretty_json(value: Any) -> str:
    """Indented JSON, for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str, sort_keys=isinstance(value, Mapping))


def link(locator: str) -> str:
    """The address a locator stands for if a browser can open it safely, else nothing."""
    return locator if locator.startswith("https://") and locator.isprintable() and " " not in locator else ""


def licence_link(expression: str) -> str:
    """The text of a licence in the public list of SPDX, if the expression is just one licence from it."""
    simple = expression.replace("-", "").replace(".", "").isalnum() and expression.isascii()
    return f"https://spdx.org/licenses/{expression}.html" if simple and not expression.startswith("LicenseRef") else ""
