"""What rules can ask about one model. Each is a pure function of the case, the model and its own parameters.

All keep to the same three values. *Met* needs a fact that shows it. *Not met* needs a fact that shows the contrary:
it was looked for and is not there, or the terms forbid it. Everything else, a promise included, is *not shown*.
What is only known, :mod:`regrow.auditing.rules.evaluation` keeps from all that ask for more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from regrow.auditing.rules.predicates.components import component, configured, described
from regrow.auditing.rules.predicates.data import data_explained, data_located, data_named, data_seen, data_within, told
from regrow.auditing.rules.predicates.framework import included
from regrow.auditing.rules.predicates.making import compute, origin, rebuilt
from regrow.auditing.rules.predicates.terms import access, asserted, code_terms, licence_kinds, terms, terms_fixed
from regrow.auditing.rules.results import Result

PREDICATES: Mapping[str, Callable[..., Result]] = {
    function.__name__: function
    for function in (
        access,
        asserted,
        code_terms,
        component,
        compute,
        configured,
        data_explained,
        data_located,
        data_named,
        data_seen,
        data_within,
        described,
        included,
        licence_kinds,
        origin,
        rebuilt,
        terms,
        terms_fixed,
        told,
    )
}
"""By the names that the rules use."""

TAKES_KNOWN = frozenset((origin.__name__,))
"""Those that ask only what is told of a model, so that the table of known models may tell it."""
