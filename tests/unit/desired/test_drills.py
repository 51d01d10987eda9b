"""When drills begin, one at a time; what ends them; and what becomes of what routers tell of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import generate_latest

from genset.api.drills import DrillStatus
from genset.api.routepolicy import RoutePolicy
from genset.continuity.drills.evidence import run_hash
from genset.contracts.drill import DrillPhase, DrillReport, LiveOrder, Measured
from genset.contracts.router_admin import ConfigReport
from genset.controllers.keys import Key
from genset.controllers.told_drills import ToldDrills
from genset.desired import config_document
from genset.desired import router as router_objects
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.drills import DrillPlan, faults, plan, taken
from genset.kube.metrics import Metrics
from genset.status import drills
from genset.times import rfc3339, seconds

KEY = {"name": "keys", "key": "token"}
MONDAY = seconds("2026-11-30T10:00:00Z")
CLOUD = {"name": "cloud", "take": {"side": "Cloud"}, "schedule": "0 10 * * 1"}
HOUSE = {"name": "house", "take": {"side": "House"}, "schedule": "0 10 * * 1"}
BACKENDS = [
    {"name": "house", "deployment": {"name": "house"}},
    {"name": "frontier", "cloud": {"provider": "openai", "model": "m", "credentialsSecretRef": KEY}},
    {"name": "other", "cloud": {"provider": "mistral", "model": "m", "credentialsSecretRef": KEY}},
]
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "lastTransitionTime": "2026-11-01T00:00:00Z",
}
MEASURED = Measured(40, 0, 0, 1, 20, 0.4, 0.2, 0.9, 1.2, 8.0)


class Cluster:
    """A cluster keeps a policy's status from pass to pass, as the API server does."""

    def __init__(self, *drills_: dict[str, Any], since: str = "2026-11-29T00:00:00Z", **status: Any) -> None:
        self.spec = {"backends": BACKENDS, "routes": [{"name": "all", "tiers": [{"backends": [{"name": "frontier"}]}]}]}
        self.spec["drills"] = list(drills_)
        known = [{"name": one["name"], "since": since} for one in drills_]
        self.status = {"observedGeneration": 1, "conditions": [READY], "readyReplicas": 1, "drills": known, **status}
        self.generation = 1
        self.leader = "a"
        self.asked = ""
        self.events: list[str] = []

    @property
    def resource(self) -> RoutePolicy:
        metadata = {"name": "assistant", "namespace": "law", "generation": self.generation}
        return RoutePolicy.model_validate({"metadata": metadata, "spec": self.spec, "status": self.status})

    def passes(self, now: float, **heard: DrillReport | None) -> DrillPlan:
        """Makes a pass; `heard`: what each router says."""
        resource = self.resource
        found = plan(resource, now, self.leader, self.asked)
        said = {pod: ConfigReport("h", drill=report) for pod, report in heard.items()}
        new = drills.evaluate(resource, found.drills, said, rfc3339(now))
        before = resource.status.drills if resource.status is not None else []
        self.events += [reason for _, reason, _ in drills.events(before, new)]
        self.status["drillEvidence"] = drills.evidence(resource, new, said)
        self.status["drills"] = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in new]
        return found

    def of(self, name: str) -> DrillStatus:
        status = self.resource.status
        assert status is not None
        return next(one for one in status.drills if one.name == name)


def report(found: DrillPlan, phase: DrillPhase = DrillPhase.PASSED, why: str = "", evidence: str = "e1") -> DrillReport:
    assert found.order is not None
    return DrillReport(found.order.id, phase, why, MEASURED, evidence)


def test_a_drill_runs_at_its_time_and_is_told() -> None:
    cluster = Cluster(CLOUD)
    early = cluster.passes(MONDAY - 30)
    assert early.order is None and early.again == 30 and cluster.of("cloud").next == rfc3339(MONDAY)
    begun = cluster.passes(MONDAY + 1, a=None, b=None)
    assert begun.order is not None and begun.order.takes == ("frontier", "other") and begun.order.previous == ""
    assert cluster.of("cloud").next == rfc3339(MONDAY + 7 * 86_400)
    going = report(begun, DrillPhase.FAULT)
    assert cluster.passes(MONDAY + 5, a=going, b=report(begun, DrillPhase.BASELINE)).order == begun.order
    running = cluster.of("cloud").running
    assert running is not None and running.phase is DrillPhase.BASELINE and running.routers == ["a", "b"]
    cluster.passes(MONDAY + 60, a=report(begun), b=report(begun, evidence="e2"))
    last = cluster.of("cloud").last
    assert last is not None and last.outcome is DrillPhase.PASSED and last.rto_seconds == 1.2
    assert last.requests is not None and last.requests.asked == 80
    assert cluster.of("cloud").last_good == rfc3339(MONDAY + 60)
    assert cluster.status["drillEvidence"] == run_hash("", ["e1", "e2"])
    after = cluster.passes(MONDAY + 61, a=report(begun), b=report(begun, evidence="e2"))
    assert after.order is None and cluster.status["drillEvidence"] == run_hash("", ["e1", "e2"])
    assert cluster.events == ["DrillBegan", "DrillPassed"]
    assert cluster.passes(MONDAY + 90).order is None, "once"
    again = cluster.passes(MONDAY + 7 * 86_400)
    assert again.order is not None and again.order.previous == run_hash("", ["e1", "e2"])


def test_a_live_drill_is_ordered_with_its_bounds_and_told_with_its_clients() -> None:
    cluster = Cluster({**CLOUD, "impact": "Live", "stopWhen": {"lost": 3}}, HOUSE)
    cluster.spec["continuity"] = {"allowLiveDrills": True}
    begun = cluster.passes(MONDAY, a=None)
    assert begun.order is not None and begun.order.live == LiveOrder(share=5, lost=3, error_rate=5)
    cluster.passes(MONDAY + 60, a=replace(report(begun), measured=replace(MEASURED, live=7, spared=2)))
    last = cluster.of("cloud").last
    assert last is not None and last.outcome is DrillPhase.MISSED and "2 were spared" in last.message
    assert last.requests is not None and (last.requests.live, last.requests.spared) == (7, 2)
    second = cluster.passes(MONDAY + 61)
    assert second.order is not None and second.order.name == "house" and second.order.live is None
    assert b"live" not in second.order.canonical_json(), "routers of releases before this know no such field"
    cluster.passes(MONDAY + 120, a=report(second))
    last = cluster.of("house").last
    assert last is not None and last.requests is not None and last.requests.live is None


def test_two_drills_never_run_at_once() -> None:
    cluster = Cluster(CLOUD, HOUSE)
    first = cluster.passes(MONDAY)
    assert first.order is not None and first.order.name == "cloud"
    assert cluster.passes(MONDAY + 30, a=report(first, DrillPhase.FAULT)).order == first.order
    cluster.passes(MONDAY + 60, a=report(first))
    second = cluster.passes(MONDAY + 61)
    assert second.order is not None and second.order.name == "house" and second.order.takes == ("house",)


def test_a_time_that_nobody_was_there_for_is_told_and_not_made_up_for() -> None:
    cluster = Cluster(CLOUD)
    assert cluster.passes(MONDAY + 3600).order is None
    assert cluster.of("cloud").missed == rfc3339(MONDAY) and cluster.events == ["DrillMissed"]
    assert cluster.passes(MONDAY + 3601).order is None and cluster.events == ["DrillMissed"]


def test_a_year_that_nobody_was_there_for_is_one_time_missed() -> None:
    """chaos-mesh 3882 and 1556 stood still after a hundred missed times, until somebody made the schedule anew."""
    cluster = Cluster({**CLOUD, "schedule": "* * * * *"}, since="2025-11-30T00:00:00Z")
    assert cluster.passes(MONDAY + 30).order is not None, "the time that is just now is run"
    stopped = Cluster({**CLOUD, "schedule": "*/30 * * * *"}, since="2025-11-30T00:00:00Z")
    assert stopped.passes(MONDAY + 900).order is None and stopped.events == ["DrillMissed"]
    assert stopped.passes(MONDAY + 1800).order is not None, "and the next one is"


def test_a_new_drill_waits_for_its_first_time() -> None:
    cluster = Cluster(CLOUD)
    del cluster.status["drills"]
    assert cluster.passes(MONDAY + 60).order is None and cluster.of("cloud").missed is None


ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "the policy is changed": ({"generation": 2}, "the policy was changed"),
    "another operator leads": ({"leader": "b"}, "another operator leads"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_run(name: str) -> None:
    change, why = ENDS[name]
    cluster = Cluster(CLOUD)
    begun = cluster.passes(MONDAY, a=None)
    for attribute, value in change.items():
        setattr(cluster, attribute, value)
    assert cluster.passes(MONDAY + 10, a=report(begun, DrillPhase.FAULT)).order is None
    last = cluster.of("cloud").last
    assert last is not None and last.outcome is DrillPhase.ABORTED and why in last.message
    assert last.requests is None and last.rto_seconds is None, "it says nothing"
    assert cluster.events == ["DrillBegan", "DrillAborted"] and cluster.of("cloud").last_good is None


def test_routers_end_a_run() -> None:
    cases: list[tuple[float, dict[str, Any], str]] = [
        (10, {"a": "fault"}, "router b went away"),
        (10, {"a": "fault", "b": None}, ""),
        (90, {"a": "fault", "b": None}, "router b does not run it"),
        (10, {"a": "fault", "b": DrillPhase.ABORTED}, "router b: a real outage"),
        (900, {"a": "fault", "b": "fault"}, "did not come to its end"),
        (10, {}, "went away"),
    ]
    for after, heard, why in cases:
        cluster = Cluster(CLOUD)
        begun = cluster.passes(MONDAY, a=None, b=None)
        fault = report(begun, DrillPhase.FAULT)
        cluster.passes(MONDAY + 5, a=fault, b=fault)
        aborted = report(begun, DrillPhase.ABORTED, "a real outage")
        said = {pod: {"fault": fault, None: None}.get(one, aborted) for pod, one in heard.items()}
        cluster.passes(MONDAY + after, **said)
        last = cluster.of("cloud").last
        assert (last.message if last is not None else "") == "" if not why else last is not None and why in last.message


def test_a_router_of_an_earlier_release_says_nothing_of_drills() -> None:
    cluster = Cluster(CLOUD)
    cluster.passes(MONDAY, a=None)
    cluster.passes(MONDAY + 61, a=None)
    last = cluster.of("cloud").last
    assert last is not None and "earlier release" in last.message


def test_what_one_router_missed_was_missed() -> None:
    cluster = Cluster({**CLOUD, "objective": {"rtoSeconds": 2}})
    begun = cluster.passes(MONDAY, a=None, b=None)
    slow = replace(report(begun), measured=replace(MEASURED, rto=3.0))
    cluster.passes(MONDAY + 60, a=report(begun), b=slow)
    last = cluster.of("cloud").last
    assert last is not None and last.outcome is DrillPhase.MISSED and "after 3 s, and 2 s are wanted" in last.message
    assert cluster.events[-1] == "DrillMissedObjective"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"conditions": []}, "not Ready"),
        ({"conditions": [{**READY, "status": "False", "reason": "Starting"}]}, "not Ready (Starting)"),
        ({"observedGeneration": 0}, "not Ready"),
        ({"readyReplicas": 0}, "no router runs"),
        ({"outages": [{"scope": "Cloud", "reason": "EgressDown", "since": "2026-11-30T09:00:00Z"}]}, "a real outage"),
    ],
)
def test_nothing_is_taken_away_from_what_is_broken(status: dict[str, Any], why: str) -> None:
    cluster = Cluster(CLOUD, **status)
    assert cluster.passes(MONDAY).order is None
    last = cluster.of("cloud").last
    assert last is not None and last.outcome is DrillPhase.ABORTED and why in last.message


def test_somebody_may_ask_once() -> None:
    cluster = Cluster({"name": "cloud", "take": {"provider": "mistral"}}, CLOUD | {"name": "later"})
    assert cluster.passes(MONDAY - 3600).again == 3600
    cluster.asked = "cloud.x1"
    begun = cluster.passes(MONDAY - 3599)
    assert begun.order is not None and begun.order.takes == ("other",)
    cluster.passes(MONDAY - 3500, a=report(begun))
    assert cluster.passes(MONDAY - 3499).order is None, "the word was heard"
    cluster.asked = "cloud.x2"
    assert cluster.passes(MONDAY - 3400).order is not None
    strange = Cluster(CLOUD)
    strange.asked = "nobody.x1"
    assert strange.passes(MONDAY - 60).order is None


def test_what_a_run_has_shown_is_a_metric_as_long_as_it_is_there() -> None:
    metrics, key = Metrics(), Key("RoutePolicy", "law", "assistant")
    told = ToldDrills(metrics.drill_seconds, metrics.drill_lost, metrics.drill_good)

    def rows() -> dict[str, float]:
        found = generate_latest(metrics.registry).decode().splitlines()
        lines = (line.rpartition(" ") for line in found if line.startswith("genset_drill_"))
        return {
            name.replace('drill="cloud",namespace="law",policy="assistant"', ""): float(value)
            for name, _, value in lines
        }

    cluster = Cluster(CLOUD)
    told.tell(key, [cluster.of("cloud")])
    assert rows() == {}
    begun = cluster.passes(MONDAY, a=None)
    cluster.passes(MONDAY + 60, a=replace(report(begun), measured=replace(MEASURED, detection=None, lost=2, cut=1)))
    told.tell(key, [cluster.of("cloud")])
    found = rows()
    assert found['genset_drill_last_seconds{,what="rto"}'] == 1.2 and found["genset_drill_last_lost{}"] == 3
    assert not any("detection" in name or "passed" in name for name in found), "what never came has no row"
    told.drop(key)
    assert rows() == {}


def test_proof_grows_old() -> None:
    cluster = Cluster({**CLOUD, "maxAgeDays": 7}, since="2026-11-01T00:00:00Z")

    def stale(now: float) -> str:
        found = drills.verdict(cluster.resource, [cluster.of("cloud")], rfc3339(now))
        assert found is not None
        return found.message if found.status == "True" else ""

    assert not stale(seconds("2026-11-07T23:00:00Z"))
    assert "was never passed" in stale(seconds("2026-11-08T01:00:00Z"))
    begun = cluster.passes(MONDAY, a=None)
    cluster.passes(MONDAY + 60, a=report(begun))
    assert not stale(MONDAY + 6 * 86_400)
    assert "passed last on 2026-11-30" in stale(MONDAY + 8 * 86_400)
    assert drills.verdict(Cluster().resource, [], rfc3339(MONDAY)) is None


def test_what_no_schema_can_tell() -> None:
    wrong = Cluster(
        {**CLOUD, "schedule": "0 25 * * 1"},
        {**HOUSE, "timeZone": "Europe/Nowhere"},
        {"name": "nobody", "take": {"provider": "anthropic"}},
    )
    found = {fault.field: fault.message for fault in faults(wrong.resource)}
    assert list(found) == ["spec.drills[0].schedule", "spec.drills[1].timeZone", "spec.drills[2].take"]
    assert "takes nothing away" in found["spec.drills[2].take"]
    assert not list(faults(Cluster(CLOUD, HOUSE).resource))


def test_the_order_changes_nothing_of_what_routers_serve() -> None:
    cluster = Cluster({**CLOUD, "take": {"backend": "other"}})
    resource = cluster.resource
    assert taken(resource, resource.spec.drills[0]) == ["other"]
    begun = cluster.passes(MONDAY)
    context = RoutePolicyContext(settings=Settings(image="genset:1"))
    ordered = replace(context, drill=begun.order, written=[])
    assert config_document.document(resource, context).hash == config_document.document(resource, ordered).hash
    before, after = (router_objects.config_map(resource, one) for one in (context, ordered))
    assert before is not None and after is not None and begun.order is not None
    assert set(after["data"]) - set(before["data"]) == {"drill.json"}
    assert after["data"]["router.json"] == before["data"]["router.json"]
    assert type(begun.order).from_json(after["data"]["drill.json"].encode()) == begun.order
