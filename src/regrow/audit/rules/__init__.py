"""The judging part of an audit: rules held as data, and a small evaluator of three values.

>>> from regrow.audit import rules
>>> rules.explain("osaid-1.0/data-information/description").place
'Preferred form to make modifications, Data Information, (1)'
"""

from __future__ import annotations

from regrow.audit.rules.judgement import Judgement, judge
from regrow.audit.rules.rulesets import Group, Leaf, Rule, explain, ids

__all__ = ["Group", "Judgement", "Leaf", "Rule", "explain", "ids", "judge"]
