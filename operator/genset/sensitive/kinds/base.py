"""A kind is something that can be looked for: an expression that finds what might be it, and a check that tells whether it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Returns whether what an expression has found, as it stood there, is what it looks like.
Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Finder:
    """A finder looks for one form, byte by byte of UTF-8.

    What stands in the expression's group 1 is checked; without a `check` it counts as found. `cost` is that of a check, in
    about three microseconds.
    """

    expression: str
    check: Check | None = None
    cost: int = 1


@dataclass(frozen=True, slots=True)
class ContentKind:
    """A kind has a name in policies, words for people, and finders, which may depend on the countries that a policy names.

    Countries are by ISO 3166 (DE, FR). `finders` imports what checks need, so that routers that look for nothing have nothing
    loaded.
    """

    name: str
    tells: str
    finders: Callable[[Sequence[str]], list[Finder]]


#: Nothing that belongs to a longer word or number stands before or behind; what follows a number and a point are its decimals.
BEFORE = r"(?:^|[^0-9A-Za-z_.]|(?:^|[^0-9])[.])"
BEHIND = r"(?:$|[^0-9A-Za-z_])"
#: What people write between groups of digits, a line's end among it.
GAP = r"(?:[ \t]{1,3}|[.-]|\r?\n)"


def alone(form: str) -> str:
    """Returns an expression for a form that stands alone."""
    return f"{BEFORE}({form}){BEHIND}"


def bare(text: str) -> str:
    """Returns a number without what people write between its digits."""
    return "".join(c for c in text if c.isalnum())
