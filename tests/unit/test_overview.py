"""`genset status`: what is on the screen for resources as the API server has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset import overview

Resource = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str = "Do this.") -> Resource:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def model(name: str, *conditions: Resource, **status: Any) -> Resource:
    metadata = {"namespace": "law", "name": name}
    told = {"conditions": list(conditions), "desiredReplicas": 1, "readyReplicas": 1, **status}
    return {"kind": "ModelDeployment", "metadata": metadata, "spec": {"engine": "llamacpp"}, "status": told}


def policy(name: str, *conditions: Resource, **status: Any) -> Resource:
    told = {"conditions": list(conditions), "replicas": 2, "readyReplicas": 2, **status}
    return {"kind": "RoutePolicy", "metadata": {"namespace": "law", "name": name}, "spec": {}, "status": told}


READY = condition("Ready", "True", "Ready")
WELL = [model("small", READY, size={"class": "Small"}, model="qwen3-8b"), policy("assistant", READY, houseShare="91 %")]
OUTAGE = {"scope": "Backend", "backend": "frontier", "reason": "BackendAuthFailed", "message": "Give it a key."}
SPENT = {
    "name": "month",
    "state": "Spent",
    "spent": "500.00",
    "amount": "500",
    "currency": "USD",
    "windowEnd": "2026-12-01",
}


def test_a_house_in_which_all_is_well() -> None:
    seen = overview.of(WELL)
    assert seen.serves
    assert overview.screen(seen).splitlines() == [
        "MODELS: 1",
        "  NAMESPACE  NAME   MODEL     ENGINE    CLASS  UP   STATE",
        "  law        small  qwen3-8b  llamacpp  Small  1/1  Ready",
        "",
        "POLICIES: 1",
        "  NAMESPACE  NAME       ROUTERS  STATE  HOUSE SHARE  SPENT  DOWN",
        "  law        assistant  2/2      Ready  91 %         -      -",
        "",
        "Nothing needs anybody.",
    ]


@pytest.mark.parametrize(
    ("resource", "serves", "what"),
    [
        (model("a", condition("Ready", "False", "CrashLoop")), False, ["Ready: CrashLoop"]),
        (
            model("a", condition("WeightsReady", "False", "DiskFull"), condition("Ready", "False", "DiskFull")),
            False,
            ["WeightsReady, Ready: DiskFull"],
        ),
        (model("a", condition("Ready", "Unknown", "AtRest")), True, []),
        (model("a", condition("Ready", "False", "WaitsForPool")), True, []),
        (model("a", READY, condition("Warnings", "True", "MemoryShort")), True, ["Warnings: MemoryShort"]),
        (model("a", READY, condition("UpgradePending", "True", "InUse")), True, ["UpgradePending: InUse"]),
        (policy("a", READY, condition("Covered", "False", "NotCovered")), True, ["Covered: NotCovered"]),
        (policy("a", READY, outages=[OUTAGE]), True, ["outage, Backend frontier: BackendAuthFailed"]),
        (policy("a", READY, budgets=[SPENT]), True, ["budget month: Spent"]),
        (policy("a", READY, budgets=[{**SPENT, "state": "Open"}]), True, []),
        ({"kind": "RoutePolicy", "metadata": {"namespace": "law", "name": "a"}}, False, ["no status"]),
        ({"kind": "Pod", "metadata": {"namespace": "law", "name": "a"}}, True, []),
    ],
)
def test_what_needs_somebody(resource: Resource, serves: bool, what: list[str]) -> None:
    seen = overview.of([resource])
    assert (seen.serves, [one.what for one in seen.matters]) == (serves, what)
    shown = overview.screen(seen)
    assert all(one in shown for one in what)


def test_what_passes_by_itself_needs_nobody() -> None:
    shown = overview.screen(
        overview.of([model("a", condition("Ready", "False", "Starting")), policy("b", READY, outages=[OUTAGE])])
    )
    way, _, needs = shown.partition("ON ITS WAY")[2].partition("NEEDS SOMEBODY")
    assert "law/a  Ready: Starting" in way and "frontier" in needs and "law/a" not in needs


def test_what_is_empty_says_what_to_do() -> None:
    shown = overview.screen(overview.of([]))
    assert "genset plan" in shown and "manifests/samples" in shown and "Nothing needs" not in shown


def test_a_download_says_how_far_it_is() -> None:
    loading = model("a", condition("Ready", "False", "Downloading"), weights={"percent": 42}, desiredReplicas=None)
    (one,) = overview.of([loading]).models
    assert (one.state, one.wanted) == ("Downloading 42 %", None)


def test_programs_get_every_field() -> None:
    told = json.loads(overview.as_json(overview.of([*WELL, policy("other", outages=[OUTAGE])])))
    assert told["schema"] == "genset.dev/overview/v1" and told["serves"] is False
    assert {one["name"]: one["down"] for one in told["policies"]} == {"assistant": [], "other": ["Backend frontier"]}
    assert told["models"][0]["sizeClass"] == "Small"
