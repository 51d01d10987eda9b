"""A policy's routes are tried in order, so an earlier one may take everything that a later one waits for.

The first route that matches a request wins. A match is a set of requests: names of models, a largest prompt, headers
that must be there, a shape. A pattern of a match is hidden by an earlier route that takes the largest prompt, with no header
beyond the required ones and no narrower shape, of any model that the pattern stands for; if one such request is taken, all of
them are, because smaller prompts and further headers never keep a request out of a route. Hence no two routes hide together
what neither hides alone, but for different patterns of one match; and for shapes that only together hold another one, which
nobody looks for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from genset.api.match import Match
from genset.api.routepolicy import Route
from genset.api.shape import Between, MatchShape

_ANY = "*"


@dataclass(frozen=True)
class Hidden:
    """Hidden is what of a route no request reaches, and the earlier routes that take it.

    `models` is empty if that is the whole route.
    """

    route: str
    models: tuple[str, ...]
    by: tuple[str, ...]


def covers(wide: Match, narrow: Match) -> bool:
    """Returns whether every request that `narrow` takes is taken by `wide`."""
    patterns = set(_patterns(wide))
    return _Rest.of(wide).covers(_Rest.of(narrow)) and all(
        any(wider in patterns for wider in _wider(pattern, range(len(pattern), -1, -1)))
        for pattern in _patterns(narrow)
    )


def untaken(models: Iterable[str], patterns: Collection[str]) -> list[str]:
    """Returns those of some patterns of models that have no model in common with any of these patterns."""
    known = sorted({pattern.removesuffix(_ANY) for pattern in patterns})
    starred = {pattern.removesuffix(_ANY) for pattern in patterns if pattern.endswith(_ANY)}
    stems, lengths = frozenset(known), {len(stem) for stem in starred}

    def is_taken(model: str) -> bool:
        stem = model.removesuffix(_ANY)
        if stem in stems or any(stem[:length] in starred for length in lengths):
            return True
        place = bisect_left(known, stem)
        return model.endswith(_ANY) and place < len(known) and known[place].startswith(stem)

    return [model for model in models if not is_taken(model)]


def hidden(routes: Sequence[Route]) -> Iterator[Hidden]:
    """Yields what no request reaches, in the order of the routes."""
    asked = [_Rest.of(route.match) for route in routes]
    earlier: dict[str, list[int]] = {}  # the routes of each pattern; a policy may have 16,384 patterns
    lengths: set[int] = set()  # of the patterns with a * among them
    for number, route in enumerate(routes):
        patterns, own = _patterns(route.match), asked[number]
        wide = {other for other in range(number) if asked[other].covers(own)}  # but for the model
        if wide:
            descending = sorted(lengths, reverse=True)
            found = {pattern: _hider(_wider(pattern, descending), wide, earlier) for pattern in patterns}
            hiders = {pattern: routes[by].name for pattern, by in found.items() if by is not None}
            if hiders:
                whole = len(hiders) == len(patterns)
                yield Hidden(route.name, () if whole else tuple(hiders), tuple(dict.fromkeys(hiders.values())))
        for pattern in patterns:
            earlier.setdefault(pattern, []).append(number)
            if pattern.endswith(_ANY):
                lengths.add(len(pattern) - 1)


def _hider(wider: Iterable[str], wide: Set[int], earlier: Mapping[str, Sequence[int]]) -> int | None:
    """Returns the first of the `wide` routes that has one of the wider patterns."""
    for pattern in wider:
        for number in earlier.get(pattern, ()):
            if number in wide:
                return number
    return None


def _patterns(match: Match) -> list[str]:
    """Returns the patterns of a match; one that names no model takes all."""
    return list(match.models) or [_ANY]


def _wider(pattern: str, lengths: Iterable[int]) -> Iterator[str]:
    """Yields the patterns that take all models that this one takes: itself, and its beginnings of these lengths with a *."""
    yield pattern
    stem = pattern.removesuffix(_ANY)
    for length in lengths:
        if length <= len(stem):
            yield stem[:length] + _ANY


class _Rest(NamedTuple):
    """What a match asks for, apart from the model."""

    most: float  # tokens of the prompt
    headers: frozenset[tuple[str, str]]
    shape: MatchShape | None

    @classmethod
    def of(cls, match: Match) -> _Rest:
        most = inf if match.max_input_tokens is None else match.max_input_tokens
        headers = frozenset((header.name.lower(), header.value) for header in match.headers)
        return cls(most, headers, match.shape)

    def covers(self, narrow: _Rest) -> bool:
        """Returns whether it asks for no more than `narrow`."""
        return narrow.most <= self.most and self.headers <= narrow.headers and _holds(self.shape, narrow.shape)


def _holds(wide: MatchShape | None, narrow: MatchShape | None) -> bool:
    """Returns whether every request of the narrow shape has the wide one: whatever this says, that one says as much of it."""
    if wide is None:
        return True
    said = {name: value for name in type(wide).model_fields if (value := getattr(wide, name)) is not None}
    return narrow is not None and all(_within(getattr(narrow, name), value) for name, value in said.items())


def _within(narrow: Any, wide: Any) -> bool:
    if isinstance(wide, Between) and isinstance(narrow, Between):
        most = inf if wide.at_most is None else wide.at_most
        own = inf if narrow.at_most is None else narrow.at_most
        return (narrow.at_least or 0) >= (wide.at_least or 0) and own <= most
    if isinstance(wide, list) and isinstance(narrow, list):
        return set(narrow) <= set(wide)
    return bool(narrow == wide)
