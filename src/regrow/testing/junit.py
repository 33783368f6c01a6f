"""What came of tests in the form that servers which build software read: JUnit's XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from regrow.testing.again import Outcome

_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even spelt; a model may well write one."""


def junit(outcome: Outcome) -> str:
    """The document. There are no times in it, so it is the same for the same outcome."""
    skipped = sum(case.verdict == "skipped" for case in outcome.cases)
    counts = {"tests": len(outcome.cases), "failures": len(outcome.failed), "errors": 0, "skipped": skipped}
    suite = ElementTree.Element(
        "testsuite", {"name": _said(outcome.name), **{key: str(n) for key, n in counts.items()}}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("release", outcome.digest), ("answers of", outcome.kept)):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for case in outcome.cases:
        place = {"classname": f"{_said(outcome.name)}.{case.kind}", "name": _said(case.name)}
        element = ElementTree.SubElement(suite, "testcase", place)
        if case.verdict != "passed":
            kind = "failure" if case.verdict == "failed" else "skipped"
            told = ElementTree.SubElement(element, kind, {"message": _said(case.why)})
            told.text = _said("\n".join((*case.diff, case.hint)).strip())
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _said(text: str) -> str:
    return _UNSAYABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
