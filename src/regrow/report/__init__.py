"""The report of a release: one HTML file that shows what the model is made of, and how to check it."""

from regrow.report.data import Effect, Found, Measure, ReportData
from regrow.report.doubts import Doubt, doubts
from regrow.report.read import contents, effects, evidence, load, measures
from regrow.report.render import page, render

__all__ = [
    "Doubt",
    "Effect",
    "Found",
    "Measure",
    "ReportData",
    "contents",
    "doubts",
    "effects",
    "evidence",
    "load",
    "measures",
    "page",
    "render",
]
