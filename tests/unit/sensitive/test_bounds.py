"""What the expressions of a policy may cost those who read it: nobody's policy keeps the operator from the next."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from genset.api import sensitive
from genset.api.routepolicy import RoutePolicy
from genset.sensitive.engine import MOST_EXPRESSIONS


def policy(*patterns: list[str]) -> dict[str, Any]:
    routes = [
        {
            "name": f"r{number}",
            "tiers": [{"backends": [{"name": "a"}]}],
            "sensitive": {"patterns": [{"name": f"p{at}", "regex": regex} for at, regex in enumerate(found)]},
        }
        for number, found in enumerate(patterns)
    ]
    return {
        "metadata": {"name": "p"},
        "spec": {"backends": [{"name": "a", "deployment": {"name": "a"}}], "routes": routes},
    }


def test_more_expressions_than_a_policy_may_have_are_refused_before_one_is_compiled() -> None:
    found = [[f"route {number} expression {at}" for at in range(16)] for number in range(256)]
    before = sensitive._why_not.cache_info().misses
    with pytest.raises(ValidationError, match=r"4096 different expressions, and 64 is the most: join some by \|"):
        RoutePolicy.model_validate(policy(*found))
    assert sensitive._why_not.cache_info().misses == before


def test_routes_that_share_their_expressions_may_be_many() -> None:
    shared = [f"shared {at}" for at in range(16)]
    others = [[f"own {number} {at}" for at in range(16)] for number in range(3)]
    assert MOST_EXPRESSIONS == 3 * 16 + 16
    assert len(RoutePolicy.model_validate(policy(*[shared] * 253, *others)).spec.routes) == 256


@pytest.mark.parametrize("regex", [r"\pL{1,200}", r"x(\pL{1,30}){1,30}", r"\pL" * 160], ids=["long", "nested", "row"])
def test_an_expression_that_takes_too_much_is_refused_by_name(regex: str) -> None:
    with pytest.raises(ValidationError, match=r"sensitive\.patterns\[p0\]\.regex cannot be used: pattern too large"):
        RoutePolicy.model_validate(policy([regex]))


@pytest.mark.parametrize(
    "routes", [None, 7, [None], [{"sensitive": []}], [{"sensitive": {"patterns": {"regex": "a"}}}]]
)
def test_whatever_is_written_there_is_told_as_before(routes: Any) -> None:
    with pytest.raises(ValidationError) as told:
        RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": {"backends": [], "routes": routes}})
    assert "expressions" not in str(told.value)
