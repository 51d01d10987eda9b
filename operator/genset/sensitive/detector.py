"""A detector looks at the text of requests for what one route says: kinds by name, and patterns of the policy's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from genset.sensitive.engine import ExpressionSet, own, pattern
from genset.sensitive.kinds import KINDS
from genset.sensitive.normal import normal
from genset.sensitive.texts import OnlyTokens, TooMuchText, text_of

#: What checks of one request may cost, in the unit of `Finder.cost`: 60 ms. A caller chooses how many numbers he sends.
MOST_COST: Final = 20_000
#: Words beside the kinds' own: there was too much to look at, or it cannot be looked at. Both count as found.
TOO_MUCH, UNREADABLE = "tooMuch", "unreadable"


class Detector:
    """A detector looks for some things. See `detector`, which makes it."""

    def __init__(self, detect: Sequence[str], countries: Sequence[str], patterns: Sequence[tuple[str, str]]) -> None:
        self._finders = [(name, finder) for name in detect for finder in KINDS[name].finders(countries)]
        self._expressions = [own(finder.expression) for _, finder in self._finders]
        self._set = ExpressionSet([finder.expression for _, finder in self._finders])
        self._patterns: list[tuple[str, Any]] = [(name, pattern(written)) for name, written in patterns]

    def found(self, request: dict[str, Any]) -> tuple[str, ...]:
        """Returns the names of what stands in a request, each once; what cannot be looked at counts as found."""
        try:
            text = normal(text_of(request))
        except TooMuchText:
            return (TOO_MUCH,)
        except OnlyTokens:
            return (UNREADABLE,)
        return tuple(dict.fromkeys((*self._kinds_in(text), *self._patterns_in(text))))

    def _patterns_in(self, text: bytes) -> Iterator[str]:
        return (name for name, expression in self._patterns if expression.search(text) is not None)

    def _kinds_in(self, text: bytes) -> Iterator[str]:
        left = MOST_COST
        for number in self._set.matching(text) if self._finders else ():
            (name, finder), expression = self._finders[number], self._expressions[number]
            place = 0
            while (match := expression.search(text, place)) is not None:
                if finder.check is None or finder.check(match.group(1).decode("utf-8", "replace")):
                    yield name
                    break
                left -= finder.cost
                if left <= 0:
                    yield TOO_MUCH
                    return
                place = match.start(1) + 1  # what looked like one thing may hold another


@lru_cache(maxsize=512)
def without_effect(detect: tuple[str, ...], countries: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the countries that none of these kinds knows: with them nothing more is found than without."""
    kinds = [(KINDS[name].finders, len(KINDS[name].finders(()))) for name in detect]
    return tuple(
        country for country in countries if all(len(finders((country,))) == without for finders, without in kinds)
    )


@lru_cache(maxsize=512)
def detector(
    detect: tuple[str, ...], countries: tuple[str, ...] = (), patterns: tuple[tuple[str, str], ...] = ()
) -> Detector:
    """Returns what looks for these kinds, and for patterns by name and expression; routes that want the same share it.

    Raises BadPattern, and KeyError for an unknown kind.
    """
    return Detector(detect, countries, patterns)
