"""The regular expressions of policies and of kinds run on RE2, in time that is linear in the text, whatever it holds.

RE2 gives up where others would take long: an expression that needs too much memory is refused when the policy is read. How many
a policy may have is bounded, too (`MOST_EXPRESSIONS`), because the operator reads everybody's. A set of expressions that runs out
of memory while it looks says that nothing matched, so each look is proved by a text that has to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import re2

MOST_MEMORY: Final = 1024 * 1024  # bytes that one expression of a policy may take; to find out takes 30 ms at most
MOST_EXPRESSIONS: Final = 64  # different ones, of all routes of a policy
_SET_MEMORY: Final = 32 * 1024 * 1024  # and all of genset's own together; what is used is a fraction
_PROOF: Final = b"\n\x00genset proof\x00"


class BadPattern(ValueError):
    """A regular expression cannot be used. The message says why."""


def pattern(expression: str) -> Any:
    """Compiles an expression of a policy, which looks at characters. Raises BadPattern."""
    try:
        found = re2.compile(expression.encode(), _options(MOST_MEMORY, re2.Options.Encoding.UTF8))
    except re2.error as problem:
        told = problem.args[0] if problem.args else problem
        raise BadPattern(told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)) from None
    if found.search(b"") is not None:
        raise BadPattern("it matches the empty text, and so every request")
    return found


def own(expression: str) -> Any:
    """Compiles an expression of genset's own, which looks at bytes."""
    return re2.compile(expression.encode(), _options(MOST_MEMORY, re2.Options.Encoding.LATIN1))


class ExpressionSet:
    """A set tells in one pass which of many expressions of genset's own are worth a closer look."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self._all = tuple(range(len(expressions)))
        self._set = re2.Set.SearchSet(_options(_SET_MEMORY, re2.Options.Encoding.LATIN1))
        for expression in (*expressions, _PROOF.decode()):
            self._set.Add(expression)
        self._set.Compile()

    def matching(self, text: bytes) -> Sequence[int]:
        """Returns the numbers of those that match, in their order; all of them if the set cannot tell."""
        found = self._set.Match(text + _PROOF) or ()
        proof = len(self._all)
        return sorted(number for number in found if number != proof) if proof in found else self._all


def _options(memory: int, encoding: Any) -> Any:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    options.encoding = encoding
    return options
