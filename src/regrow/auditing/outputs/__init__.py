"""What an audit gives out: for people, for machines, and in the formats that others read.

All of them take a whole :class:`~regrow.auditing.result.Audit` and depend on nothing else (some also on the audited
release, if it is one of ours): the same audit gives the same bytes, and the only date in them is that of the audit.
"""

from regrow.auditing.outputs.croissant import croissant
from regrow.auditing.outputs.cyclonedx import cyclonedx
from regrow.auditing.outputs.document import json, to_text
from regrow.auditing.outputs.eu_summary import eu_summary
from regrow.auditing.outputs.explanation import explanation
from regrow.auditing.outputs.mot import mot
from regrow.auditing.outputs.page import html
from regrow.auditing.outputs.spdx import spdx
from regrow.auditing.outputs.statement import sign, statement, verify
from regrow.auditing.outputs.text import full, text

__all__ = [
    "croissant",
    "cyclonedx",
    "eu_summary",
    "explanation",
    "full",
    "html",
    "json",
    "mot",
    "sign",
    "spdx",
    "statement",
    "text",
    "to_text",
    "verify",
]
