"""A policy's routes are tried in order, so an earlier one may take everything that a later one waits for.

The first route that matches a request wins. A match is a set of requests: names of models, a largest prompt, headers
that must be there. A pattern of a match is hidden by an earlier route that takes the largest prompt, with no header
beyond the required ones, of any model that the pattern stands for; if one such request is taken, all of them are,
because smaller prompts and further headers never keep a request out of a route. Hence no two routes hide together what
neither hides alone, but for different patterns of one match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from genset.api.routepolicy import Match, Route

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
    return _rest_covers(wide, narrow) and all(
        any(wider in patterns for wider in _wider(pattern, range(len(pattern), -1, -1)))
        for pattern in _patterns(narrow)
    )


def hidden(routes: Sequence[Route]) -> Iterator[Hidden]:
    """Yields what no request reaches, in the order of the routes."""
    earlier: dict[str, list[Route]] = {}
    lengths: set[int] = set()  # of the patterns with a * among them: a policy may have 16,384 patterns
    for route in routes:
        patterns = _patterns(route.match)
        hiders = {pattern: by for pattern in patterns if (by := _hider(route.match, pattern, earlier, lengths))}
        if hiders:
            whole = len(hiders) == len(patterns)
            yield Hidden(route.name, () if whole else tuple(hiders), tuple(dict.fromkeys(hiders.values())))
        for pattern in patterns:
            earlier.setdefault(pattern, []).append(route)
            if pattern.endswith(_ANY):
                lengths.add(len(pattern) - 1)


def _hider(match: Match, pattern: str, earlier: Mapping[str, Sequence[Route]], lengths: Iterable[int]) -> str | None:
    """Names an earlier route that takes whatever the pattern brings."""
    for wider in _wider(pattern, sorted(lengths, reverse=True)):
        for route in earlier.get(wider, ()):
            if _rest_covers(route.match, match):
                return route.name
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


def _rest_covers(wide: Match, narrow: Match) -> bool:
    """Returns whether `wide` asks for no more than `narrow`, apart from the model."""
    if wide.max_input_tokens is not None and (
        narrow.max_input_tokens is None or narrow.max_input_tokens > wide.max_input_tokens
    ):
        return False
    return _headers(wide) <= _headers(narrow)


def _headers(match: Match) -> set[tuple[str, str]]:
    return {(header.name.lower(), header.value) for header in match.headers}
