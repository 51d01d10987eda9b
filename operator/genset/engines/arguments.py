"""Extra arguments are allowed by name, because what a server does not know yet may do anything tomorrow.

A well-known flag that is not allowed is refused with its own reason; every other one with the remedy that fits it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from genset.api.fault import FieldFault

_VARIABLE = "$("  # Kubernetes puts the value of a variable in its place, which could be any flag
_NUMBER = re.compile(r"-(\d|\.\d)")


@dataclass(frozen=True)
class Arguments:
    """These are the arguments that the users of a server may add.

    `server` names it with the version whose flags these are. `denied` has flags by the reason for refusing them. `spelt`
    returns a flag as the server reads it, of an argument that begins with a dash.
    """

    server: str
    allowed: frozenset[str]
    denied: Mapping[str, tuple[str, ...]]
    spelt: Callable[[str], str]

    def problems(self, field: str, given: Iterable[str]) -> Iterator[FieldFault]:
        """Yields each argument that may not be there. What does not begin with a dash is a flag's value."""
        why = {flag: reason for reason, flags in self.denied.items() for flag in flags}
        for place, argument in enumerate(given):
            shown = argument.strip()
            if _VARIABLE in shown:
                yield FieldFault(field, f"{field}: {argument} is refused: it names a variable; write what it says")
                continue
            if not shown.startswith("-") or _NUMBER.match(shown):
                if place == 0:
                    told = "it is the value of no flag before it; remove it, or name the flag"
                    yield FieldFault(field, f"{field}: {argument} is refused: {told}")
                continue
            flag = self.spelt(shown)
            if flag in why:
                yield FieldFault(field, f"{field}: {argument} is refused: {why[flag]}; remove it")
            elif flag not in self.allowed:
                yield FieldFault(
                    field,
                    f"{field}: {argument} is refused: it is not among the arguments of {self.server} that are known to "
                    "do no harm; remove it",
                )


def allowed(*words: str) -> frozenset[str]:
    """Returns the flags of texts in which blanks stand between them."""
    return frozenset(flag for text in words for flag in text.split())
