"""Where two builds part, as an HTML page that looks as the report does and needs nothing else."""

from __future__ import annotations

from importlib.resources import files

from regrow.report import page
from regrow.verifying.explain import Explanation, value


def explained(found: Explanation) -> str:
    """The page. Every text in it is taken as text, whatever it looks like."""
    template = files("regrow.verifying").joinpath("explained.html.j2").read_text("utf-8")
    return page(template, found=found, value=value)
