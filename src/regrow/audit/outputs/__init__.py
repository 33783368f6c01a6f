"""What an audit gives out: for people, for machines, and in the formats that others read.

All of them take a whole :class:`~regrow.audit.result.Audit` and depend on nothing else (some also on the audited
release, if it is one of ours): the same audit gives the same bytes, and the only date in them is that of the audit.
"""

from regrow.audit.outputs.croissant import croissant
from regrow.audit.outputs.cyclonedx import cyclonedx
from regrow.audit.outputs.document import json, to_text
from regrow.audit.outputs.eu_summary import eu_summary
from regrow.audit.outputs.explanation import explanation
from regrow.audit.outputs.mot import mot
from regrow.audit.outputs.page import html
from regrow.audit.outputs.spdx import spdx
from regrow.audit.outputs.statement import sign, statement, verify
from regrow.audit.outputs.text import text

__all__ = [
    "croissant",
    "cyclonedx",
    "eu_summary",
    "explanation",
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
