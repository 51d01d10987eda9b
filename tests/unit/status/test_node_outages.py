"""A lost node is told once, with what is left of what stood there; and the ledger's absence, which ends nobody's requests."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy_status import OutageScope
from genset.contracts.router_admin import ConfigReport, OutageReport
from genset.status import capacity, outages
from genset.status.outline import Outline
from genset.status.pod import PodView

NOW = "2026-11-21T10:00:00Z"
SINCE = "2026-11-21T09:58:00Z"
HOUSE = OutageReport("House", since=SINCE, detail="no endpoint of small, large can answer")
LEDGER = OutageReport("Ledger", since=SINCE, detail="[Errno 111] Connection refused")


def policy(*known: dict[str, Any]) -> Outline:
    backends = [
        {"name": "small", "deployment": {"name": "m-small"}},
        {"name": "large", "deployment": {"name": "m-large"}},
        {"name": "frontier", "cloud": {"provider": "openai", "model": "m"}},
    ]
    tiers = [{"backends": [{"name": "small"}]}, {"backends": [{"name": "frontier"}]}]
    routes = [{"name": "r", "tiers": tiers}, {"name": "own", "tiers": [{"backends": [{"name": "large"}]}]}]
    return Outline.of_refused({"spec": {"backends": backends, "routes": routes}, "status": {"outages": list(known)}})


def deployment(name: str, lost: list[str] | None = None, **places: int) -> ModelDeployment:
    told = [{"node": node, "replicas": count, "slots": count} for node, count in places.items()]
    source = {"huggingFace": {"repo": "a/b", "file": "c.gguf", "revision": "1" * 40}}
    status = {"capacity": told or None, "lostNodes": lost}
    metadata = {"name": name, "namespace": "law"}
    return ModelDeployment.model_validate({"metadata": metadata, "spec": {"source": source}, "status": status})


def router(name: str, node: str, *, lost: bool = False) -> PodView:
    """A pod as the controller of nodes leaves it if its node is lost."""
    ready = {"type": "Ready", "status": "False" if lost else "True"}
    conditions = {"Ready": ready, "ContainersReady": {"type": "ContainersReady", "status": "True"}}
    return PodView(name, node=node, phase="Running", conditions=conditions)


def told(
    outline: Outline,
    small: ModelDeployment,
    large: ModelDeployment,
    *said: OutageReport,
    pods: tuple[PodView, ...] = (),
) -> list[dict[str, Any]]:
    heard = {"a": ConfigReport("h", outages=said), "b": ConfigReport("h")}
    found = outages.evaluate(outline, heard, {"m-small": small, "m-large": large}, NOW, pods)
    return [one.model_dump(mode="json", exclude_none=True) for one in found]


def test_a_node_whose_models_run_elsewhere_too() -> None:
    (found,) = told(policy(), deployment("m-small", ["n1"], n2=2), deployment("m-large", n2=1))
    assert (found["scope"], found["reason"], found["node"], found["since"]) == ("Node", "NodeDown", "n1", NOW)
    assert found["backends"] == ["small"]
    assert found["message"].startswith(
        "Node n1 does not answer; on it stood replicas of backend small. Of small 2 replicas are left. Look at the node"
    )


def test_a_node_that_had_the_only_replica() -> None:
    (found,) = told(policy(), deployment("m-small", ["n1"]), deployment("m-large", n2=1))
    assert "Requests of route r go to frontier (tier 2)" in found["message"], found


def test_a_node_that_takes_the_house_along_is_told_once() -> None:
    before = told(policy(), deployment("m-small"), deployment("m-large"), HOUSE)
    assert [one["scope"] for one in before] == ["House"], "routers see it first"
    outline = policy(*before)
    after = told(outline, deployment("m-small", ["n1"]), deployment("m-large", ["n1"]), HOUSE)
    (found,) = after
    assert found["node"] == "n1" and found["backends"] == ["small", "large"]
    assert "route own have no other backend; those of route r go to frontier (tier 2)" in found["message"]
    made = outages.evaluate(
        outline,
        {"a": ConfigReport("h", outages=(HOUSE,))},
        {"m-small": deployment("m-small", ["n1"]), "m-large": deployment("m-large", ["n1"])},
        NOW,
    )
    events = [(kind, reason) for kind, reason, _ in outages.events(outline, made)]
    assert events == [("Warning", "NodeDown")], "the house is not called restored"


def test_a_house_that_only_partly_stood_there_is_told_beside_it() -> None:
    found = told(policy(), deployment("m-small", ["n1"]), deployment("m-large"), HOUSE)
    assert [one["scope"] for one in found] == ["House", "Node"]


def test_routers_on_a_lost_node() -> None:
    pods = (router("r1", "n1", lost=True), router("r2", "n2"))
    (found,) = told(policy(), deployment("m-small", n2=1), deployment("m-large", n2=1), pods=pods)
    assert found["message"].startswith("Node n1 does not answer; on it stood replicas of 1 router. Look at")
    assert "backends" not in found


def test_it_is_told_when_no_router_answers() -> None:
    pods = (router("r1", "n1", lost=True),)
    outline = policy({"scope": "Cloud", "reason": "EgressDown", "message": "", "since": SINCE})
    found = outages.evaluate(outline, {"r1": None}, {}, NOW, pods)
    assert [one.scope for one in found] == [OutageScope.CLOUD, OutageScope.NODE]


def test_it_keeps_its_since_and_its_end_is_told() -> None:
    known = {"scope": "Node", "node": "n1", "reason": "NodeDown", "message": "", "since": SINCE}
    outline = policy(known)
    (found,) = told(outline, deployment("m-small", ["n1"], n2=1), deployment("m-large", n2=1))
    assert found["since"] == SINCE
    (event,) = outages.events(outline, [])
    assert event[:2] == ("Normal", "NodeRestored") and SINCE in event[2]


def test_a_ledger_that_is_away() -> None:
    (found,) = told(policy(), deployment("m-small", n1=1), deployment("m-large", n1=1), LEDGER)
    assert (found["scope"], found["reason"], found["since"]) == ("Ledger", "LedgerAway", SINCE)
    assert "seen by 1 of 2 routers" in found["message"] and "Connection refused" not in found["message"]
    outline = policy(found)
    assert outages.passed_over(outline, outline.known) == set(), "nobody is passed over for that"
    (event,) = outages.events(outline, [])
    assert event[:2] == ("Normal", "LedgerRestored")


def test_what_matters_most_is_told_first() -> None:
    """kubectl shows the reason of the first one."""
    cloud = OutageReport("Cloud", since=SINCE)
    found = told(policy(), deployment("m-small", ["n1"], n2=1), deployment("m-large", n2=1), LEDGER, cloud)
    assert [one["scope"] for one in found] == ["Cloud", "Node", "Ledger"]


PODS = [router("a", "n1", lost=True), router("b", "n2"), router("c", "n3", lost=True)]


@pytest.mark.parametrize(
    ("pods", "wanted", "lost"),
    [(PODS, 3, ["n1", "n3"]), (PODS, 1, None), (PODS[1:2], 2, None), ([], 0, None), (PODS[:1], None, None)],
    ids=[
        "two of three",
        "enough are left",
        "one is missed for another reason",
        "none is wanted",
        "nobody says how many",
    ],
)
def test_a_node_is_lost_while_its_replicas_are_missed(pods: list[PodView], wanted: int | None, lost: list[str]) -> None:
    assert capacity.lost_nodes(pods, wanted) == lost


READY = {"type": "Ready", "status": "False"}
CONTAINERS = {"type": "ContainersReady", "status": "True"}
NOT_LOST = {
    "its containers are not ready": {"Ready": READY, "ContainersReady": {**CONTAINERS, "status": "False"}},
    "a gate of its own is closed": {
        "Ready": {**READY, "reason": "ReadinessGatesNotReady"},
        "ContainersReady": CONTAINERS,
    },
    "it is ready": {"Ready": {**READY, "status": "True"}, "ContainersReady": CONTAINERS},
    "nobody has told yet": {},
}


@pytest.mark.parametrize("name", NOT_LOST)
def test_other_pods_that_are_not_ready_are_not_lost(name: str) -> None:
    assert not PodView("a", node="n1", conditions=NOT_LOST[name]).lost
