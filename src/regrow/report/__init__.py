"""The report of a release: one HTML file that shows what the model is made of, and how to check it."""

from regrow.report.data import Effect, Measure, ReportData
from regrow.report.doubts import Doubt, doubts
from regrow.report.read import contents, effects, load, measures
from regrow.report.render import render

__all__ = ["Doubt", "Effect", "Measure", "ReportData", "contents", "doubts", "effects", "load", "measures", "render"]
