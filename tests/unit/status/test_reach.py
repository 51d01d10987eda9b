"""What no request reaches, held against the router's own matcher."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.api.match import Match
from genset.api.routepolicy import Route, RoutePolicy
from genset.contracts.route_config import MatchConfig, RouteConfig
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.router.routing.route import route_of
from genset.status.reach import covers, hidden, untaken

_PATTERNS = ["*", "a", "a*", "ab", "ab*", "b", "b*", "ba"]
#: Stands for every model: whatever a pattern can tell apart. The last letter is in no pattern.
_MODELS = ["a", "az", "ab", "abz", "b", "bz", "ba", "baz", "z"]
_TOKENS = [0, 1, 2, 3, 9]
_NAMES, _VALUES = ["x", "y"], ["", "1"]
_HEADERS: list[dict[bytes, bytes]] = [
    {name.encode(): value.encode() for name, value in zip(_NAMES, values, strict=True) if value is not None}
    for values in product([None, *_VALUES], repeat=len(_NAMES))
]
REQUESTS = list(product(_MODELS, _TOKENS, _HEADERS))


def match(**fields: Any) -> Match:
    return Match.model_validate(fields)


NIGHT = {"from": "22:00", "until": "06:00"}


def shaped(**shape: Any) -> Match:
    return match(shape=shape)


def route(name: str, found: Match) -> Route:
    return Route.model_validate(
        {"name": name, "match": found.model_dump(exclude_none=True), "tiers": [{"backends": [{"name": "house"}]}]}
    )


def compiled(found: Match) -> Any:
    """The route as the router has it, made by the operator's own builder."""
    spec = {
        "backends": [{"name": "house", "deployment": {"name": "house"}}],
        "routes": [route("r", found).model_dump(mode="json", exclude_none=True)],
    }
    policy = RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": spec})
    (config,) = router_config.build(policy, RoutePolicyContext(Settings(image="none"))).routes
    assert isinstance(config, RouteConfig) and isinstance(config.match, MatchConfig)
    return route_of(config, {})


def taken(found: Match) -> set[int]:
    """The requests that the router's route takes, by their numbers."""
    real = compiled(found)
    return {number for number, request in enumerate(REQUESTS) if real.takes(*request)}


_HEADER = st.fixed_dictionaries({"name": st.sampled_from(["x", "X", "y"]), "value": st.sampled_from(_VALUES)})
MATCHES = st.builds(
    match,
    models=st.lists(st.sampled_from(_PATTERNS), max_size=3, unique=True),
    maxInputTokens=st.none() | st.sampled_from([1, 2, 3]),
    headers=st.lists(_HEADER, max_size=2, unique_by=lambda header: header["name"].lower()),
)


@given(MATCHES, MATCHES)
def test_one_match_covers_another_if_the_router_says_so(wide: Match, narrow: Match) -> None:
    assert covers(wide, narrow) == (taken(narrow) <= taken(wide))


@given(st.lists(MATCHES, min_size=1, max_size=5))
def test_a_route_is_hidden_if_the_router_gives_it_nothing(matches: list[Match]) -> None:
    found = {item.route: item for item in hidden([route(f"r{i}", found) for i, found in enumerate(matches)])}
    before: set[int] = set()
    for number, own in enumerate(matches):
        item = found.get(f"r{number}")
        left = taken(own) - before
        assert (item is not None and not item.models) == (not left)
        for model in item.models if item is not None else ():
            assert taken(own.model_copy(update={"models": [model]})) <= before
        before |= taken(own)


def _cases() -> Iterator[tuple[str, list[Match], list[tuple[str, tuple[str, ...], tuple[str, ...]]]]]:
    yield "the same twice", [match(models=["a"]), match(models=["a"])], [("r1", (), ("r0",))]
    yield (
        "behind one of a wider shape",
        [shaped(turns={"atMost": 9}), shaped(turns={"atLeast": 2, "atMost": 3}, schema=True)],
        [("r1", (), ("r0",))],
    )
    yield (
        "behind one of more languages",
        [shaped(languages=["de", "fr"]), shaped(languages=["fr"])],
        [("r1", (), ("r0",))],
    )
    yield "behind one of any shape", [match(), shaped(tools={"atMost": 0})], [("r1", (), ("r0",))]
    yield "a shape before any", [shaped(tools={"atMost": 0}), match()], []
    yield "a shape beside another", [shaped(turns={"atMost": 3}), shaped(turns={"atMost": 4})], []
    yield "a shape that says something else", [shaped(turns={"atMost": 3}), shaped(schema=True)], []
    yield "another time", [shaped(time=NIGHT), shaped(time={**NIGHT, "until": "07:00"})], []
    yield "the same time", [shaped(time=NIGHT), shaped(time=NIGHT, schema=True)], [("r1", (), ("r0",))]
    yield "behind one for all", [match(), match(models=["a"], maxInputTokens=5)], [("r1", (), ("r0",))]
    yield "before one for all", [match(models=["a"]), match()], []
    yield "a name behind its beginning", [match(models=["a-*"]), match(models=["a-b"])], [("r1", (), ("r0",))]
    yield "a beginning behind a name", [match(models=["a-b"]), match(models=["a-*"])], []
    yield "a longer beginning", [match(models=["a*"]), match(models=["ab*", "c"])], [("r1", ("ab*",), ("r0",))]
    yield "a smaller prompt first", [match(maxInputTokens=5), match(maxInputTokens=9)], []
    yield "a larger prompt first", [match(maxInputTokens=9), match(maxInputTokens=5)], [("r1", (), ("r0",))]
    gold = [{"name": "X-Team", "value": "gold"}]
    yield "a header first", [match(headers=gold), match()], []
    yield "a header behind none", [match(), match(headers=gold)], [("r1", (), ("r0",))]
    yield "a header in other letters", [
        match(headers=gold), match(headers=[{"name": "x-team", "value": "gold"}, {"name": "y", "value": ""}]),
    ], [("r1", (), ("r0",))]  # fmt: skip
    yield "a header of another value", [match(headers=gold), match(headers=[{"name": "x-team", "value": "Gold"}])], []
    yield (
        "two hide one",
        [match(models=["a"]), match(models=["b"]), match(models=["a", "b"])],
        [("r2", (), ("r0", "r1"))],
    )
    yield "an emptied one hides, too", [match(models=["a"])] * 3, [("r1", (), ("r0",)), ("r2", (), ("r0",))]


CASES = list(_cases())


@pytest.mark.parametrize(("matches", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_hidden(matches: list[Match], expected: list[tuple[str, tuple[str, ...], tuple[str, ...]]]) -> None:
    found = hidden([route(f"r{number}", found) for number, found in enumerate(matches)])
    assert [(item.route, item.models, item.by) for item in found] == expected


@given(st.lists(st.sampled_from(_PATTERNS), min_size=1, unique=True), st.sampled_from(_PATTERNS))
def test_what_no_pattern_takes_has_no_model_in_common_with_one(patterns: list[str], own: str) -> None:
    both = taken(match(models=[own])) & taken(match(models=patterns))
    assert untaken([own], patterns) == ([] if both else [own])
