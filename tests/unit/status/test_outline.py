"""What routers see as down is told of a policy whose spec is refused as well: by what can be read of it."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_admin import ConfigReport, OutageReport
from genset.status import outages
from genset.status.outline import BackendOutline, Outline
from tests.crds import cases

NOW = "2026-11-21T10:00:00Z"
SINCE = "2026-11-21T09:58:00Z"
KNOWN = {"scope": "Cloud", "reason": "EgressDown", "message": "as it was told", "since": SINCE}
CLOUD = OutageReport("Cloud", since="2026-11-21T09:59:00Z", detail="g: refused")
HOUSE = OutageReport("House", since=SINCE)
KEY = OutageReport("Backend", since=SINCE, detail="answered 401", backend="frontier", cause="auth")


def stored(*known: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A policy whose cloud today's rules refuse: its port was taken by an earlier version."""
    refused = cases.gateway("http://gateway.corp:70000/v1")
    document = cases.Case("", cases.RP, {**refused, **spec}).document()
    return {**document, "status": {"outages": list(known), "conditions": [{"of": "a later version"}]}}


def told(live: dict[str, Any], *routers: ConfigReport | None) -> list[str]:
    """Reason, since and message of each outage."""
    heard = {f"router-{number}": ack for number, ack in enumerate(routers)}
    found = outages.evaluate(Outline.of_refused(live), heard, {}, NOW)
    return [f"{item.reason} {item.since} {item.message}" for item in found]


def says(*seen: OutageReport, unknown: tuple[str, ...] = ()) -> ConfigReport:
    return ConfigReport("hash", outages=seen, unknown=frozenset(unknown))


def test_a_policy_reads_the_same_whether_it_is_refused_or_not() -> None:
    for case in cases.ROUTE_POLICIES:
        if case.accepted:
            document = case.document()
            document["status"] = {"outages": [KNOWN]}
            assert Outline.of_refused(document) == Outline.of(RoutePolicy.model_validate(document)), case.about


def test_the_types_refuse_what_these_tests_store() -> None:
    with pytest.raises(ValueError, match="baseURL names no server"):
        RoutePolicy.model_validate({**stored(), "status": None})


def test_what_routers_still_see_is_told_with_effect_and_remedy() -> None:
    cloud, house, key = told(stored(KNOWN), says(CLOUD, HOUSE), says(CLOUD, KEY))
    assert cloud.startswith(f"EgressDown {SINCE} No cloud can be reached, seen by 2 of 2 routers (g)."), cloud
    assert "Requests of route all have no other backend." in cloud
    assert house.endswith("Look at the conditions of ModelDeployment house-small")
    assert "Backend frontier refuses the routers' key: it answered 401" in key and "key token of Secret keys" in key


def test_what_is_over_goes_and_is_an_event() -> None:
    live = stored(KNOWN)
    assert told(live, says()) == []
    assert outages.events(Outline.of_refused(live), []) == [
        (
            "Normal",
            "EgressRestored",
            f"The cloud can be reached again; routes use it as they say. It was down since {SINCE}",
        )
    ]


def test_what_nobody_can_tell_stays() -> None:
    kept = [f"EgressDown {SINCE} as it was told"]
    assert told(stored(KNOWN), None) == kept
    assert told(stored(KNOWN), says(unknown=("Cloud",))) == kept
    assert told(stored(KNOWN)) == kept, "no router runs at this moment, but some are wanted"
    assert told(stored(KNOWN, router={"replicas": 0})) == []


# Specs that no version has stored, but that an API server with other rules might give.
BROKEN: list[Any] = [
    None, "text", [], {"backends": None}, {"backends": {}, "routes": "x", "router": []},
    {"backends": ["x", None, {"name": 3, "cloud": "y"}], "routes": [{"tiers": [{"backends": [7]}, 8]}, 9]},
]  # fmt: skip


@pytest.mark.parametrize("spec", BROKEN, ids=repr)
def test_what_cannot_be_read_is_left_out(spec: Any) -> None:
    live = {"metadata": {"name": "a"}, "spec": spec, "status": {"outages": [{"scope": "Moon"}, 5, KNOWN]}}
    outline = Outline.of_refused(live)
    assert set(outline.backends) <= {BackendOutline("")} and [item.reason for item in outline.known] == ["EgressDown"]
    assert [line.split()[0] for line in told(live, says(CLOUD, KEY))] == ["EgressDown"]
