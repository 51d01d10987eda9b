"""A retired model is told with its date and who stands in, and stays retired for routers that have started since."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_admin import ConfigReport, OutageReport, ServerReport
from genset.status import outages, retiring
from tests.unit.status.test_accounts import NOW, SINCE, cloud, evaluated, policy

GONE = OutageReport("Backend", SINCE, "answered 404", "a", "model_not_found")
RETIRED = OutageReport("Backend", SINCE, "answered 404", "a", "model_not_found", "retired", ends="2026-11-01T00:00:00Z")


def test_it_is_told_with_the_date_and_the_tier_that_stands_in() -> None:
    (told,) = evaluated(policy(), (RETIRED,))
    assert (told["reason"], told["backend"]) == ("ModelRetired", "a")
    assert "does not know model a any more, which ended on 2026-11-01" in told["message"]
    assert "Requests of route r go to b (tier 2). Name its successor in spec.backends[a].cloud.model" in told["message"]


def test_a_router_that_has_started_since_does_not_undo_it() -> None:
    outline = policy(*evaluated(policy(), (RETIRED,)))
    after = outages.evaluate(outline, {"new": ConfigReport("h", outages=(GONE,))}, {}, NOW)
    assert [one.reason for one in after] == ["ModelRetired"] and outages.events(outline, after) == []


def test_one_that_never_worked_is_unknown() -> None:
    assert [one["reason"] for one in evaluated(policy(), (GONE,))] == ["BackendModelNotFound"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (ServerReport("a", True, sunset="2027-01-01T00:00:00Z"), "ends on 2027-01-01"),
        (
            ServerReport("a", True, deprecated="2026-06-01T00:00:00Z"),
            "is no longer recommended (deprecated since 2026-06-01)",
        ),
        (ServerReport("house", True, sunset="2027-01-01T00:00:00Z"), None),
        (ServerReport("gone", True, sunset="2027-01-01T00:00:00Z"), None),
    ],
)
def test_an_announced_end_is_a_warning_of_a_clouds_model(said: ServerReport, words: str | None) -> None:
    spec: dict[str, Any] = {
        "backends": [cloud("a", "s"), {"name": "house", "deployment": {"name": "m"}}],
        "routes": [{"name": "r", "tiers": [{"backends": [{"name": "a"}]}]}],
    }
    resource = RoutePolicy.model_validate({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})
    found = list(retiring.of_route_policy(resource, [None, ConfigReport("h", servers=(said,))]))
    assert [one.reason for one in found] == (["ModelRetiring"] if words else [])
    assert not words or words in found[0].message
