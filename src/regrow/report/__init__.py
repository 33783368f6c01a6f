"""The report of a release: one HTML file that shows what the model is made of, and how to check it."""

from regrow.report.data import ReportData
from regrow.report.read import contents, load
from regrow.report.render import render

__all__ = ["ReportData", "contents", "load", "render"]
