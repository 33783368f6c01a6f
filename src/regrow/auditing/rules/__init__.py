"""The judging part of an audit: rules held as data, and a small evaluator of three values.

>>> from regrow.auditing import rules
>>> rules.explain("osaid-1.0/data-information/description").place
'Preferred form to make modifications, Data Information, (1)'
"""

from __future__ import annotations

from regrow.auditing.rules.judgement import Judgement, judge
from regrow.auditing.rules.rulesets import Group, Leaf, Rule, explain, ids, named

__all__ = ["Group", "Judgement", "Leaf", "Rule", "explain", "ids", "judge", "named"]
