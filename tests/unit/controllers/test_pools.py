"""Two deployments that share a device, as their reconciles and the routers' answers make them take turns."""

from __future__ import annotations

import json
from typing import Any

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.router_admin import DemandReport
from genset.controllers.demand import DemandBook
from genset.controllers.keys import Key
from genset.controllers.references import References
from genset.desired import autoscale
from genset.desired.autoscale import ScalingDecision
from genset.status import scaling as scaling_status
from genset.status.pod import PodView
from genset.times import rfc3339

HOLD = 60
POLICY = Key(names.ROUTE_POLICY, "models", "assistant")


class Fleet:
    """One session of an operator, and what the cluster makes of its decisions."""

    def __init__(self, **statuses: dict[str, Any] | None) -> None:
        self.now = 1_800_000_000.0
        references = References()
        references.set_deployments(POLICY, ["a", "b"])
        self.book = DemandBook(references, lambda: self.now)
        self.book.set_routers(POLICY, [router()])
        self.statuses = dict(statuses)
        self.pods: dict[str, float] = {
            name: self.now - 1000 for name, told in statuses.items() if told and told["desiredReplicas"]
        }
        self.asked: dict[str, dict[str, Any]] = {}

    def reconcile(self, name: str) -> ScalingDecision:
        key = Key(names.MODEL_DEPLOYMENT, "models", name)
        resource = self.resource(name)
        fellows = [other for other in self.pods if other != name]
        decision = self.book.decide(key, resource, fellows)
        replicas = autoscale.replicas(resource, decision)
        if replicas:
            self.pods.setdefault(name, self.now)
        status = scaling_status.status(resource, decision, "").model_dump(mode="json", exclude_none=True)
        self.statuses[name] = {"desiredReplicas": replicas, "scaling": status}
        pods = [engine(self.pods[name])] if name in self.pods else []
        self.book.watch(key, resource, decision, pods, None)
        return decision

    def looks(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1
            told = {name: {**item, "lastRequestSeconds": self.since(item)} for name, item in self.asked.items()}
            report = {"upSeconds": 10_000, "deployments": told}
            for key in self.book.take((POLICY, "r"), DemandReport.from_json(json.dumps(report).encode())):
                self.reconcile(key.name)
            for key in self.book.outdated():
                self.reconcile(key.name)

    def since(self, item: dict[str, Any]) -> float | None:
        """What is in work or waits has just asked."""
        last = self.now if item["inFlight"] or item["waiting"] else item["lastRequestSeconds"]
        return None if last is None else self.now - last

    def awake(self) -> list[str]:
        return [name for name in ("a", "b") if (self.statuses.get(name) or {}).get("desiredReplicas")]

    def resource(self, name: str) -> ModelDeployment:
        pool = {"name": "gpu-0", "minAwakeSeconds": HOLD}
        document = {
            "metadata": {"name": name, "namespace": "models", "uid": name},
            "spec": {"source": {"huggingFace": {"repo": "a/b"}}, "autoscaling": {"pool": pool}},
        }
        told = self.statuses.get(name)
        return ModelDeployment.model_validate({**document, "status": told} if told else document)


def router() -> PodView:
    return PodView.of({"metadata": {"name": "r"}, "status": {"phase": "Running", "podIP": "10.0.0.1"}})


def engine(since: float) -> PodView:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(since)}
    return PodView.of({"metadata": {"name": "a-1"}, "status": {"conditions": [condition]}})


def use(last: float | None = None, in_flight: int = 0, waiting: int = 0) -> dict[str, Any]:
    """`last` is a moment."""
    return {"lastRequestSeconds": last, "inFlight": in_flight, "waiting": waiting}


RESTS = {"desiredReplicas": 0, "scaling": {"owner": "genset", "reason": "Rest"}}
SERVES = {"desiredReplicas": 1, "scaling": {"owner": "genset", "reason": "Demand"}}


def test_two_new_ones_come_up_one_after_the_other() -> None:
    fleet = Fleet()
    assert fleet.reconcile("a").awake
    waiting = fleet.reconcile("b")
    assert (waiting.waits, waiting.holder, autoscale.replicas(fleet.resource("b"), waiting)) == (True, "a", 0)
    fleet.looks(HOLD + 2)
    assert fleet.awake() == [], "a makes way, and its pods are still going"
    del fleet.pods["a"]
    fleet.reconcile("a")
    fleet.looks(2)
    assert fleet.awake() == ["b"]


def test_a_request_swaps_after_the_least_time_and_not_sooner() -> None:
    fleet = Fleet(a=RESTS, b=RESTS)
    fleet.reconcile("a"), fleet.reconcile("b")
    fleet.asked = {"a": use(waiting=1), "b": use()}
    fleet.looks()
    fleet.asked = {"a": use(in_flight=3), "b": use(waiting=1)}
    fleet.looks(HOLD - 2)
    assert fleet.awake() == ["a"]
    assert (
        fleet.statuses["b"]["scaling"]["reason"] == "WaitsForPool" and fleet.statuses["b"]["scaling"]["holder"] == "a"
    )
    fleet.looks(4)
    assert fleet.awake() == [], "its running answers do not keep it"
    del fleet.pods["a"]
    fleet.reconcile("a")
    fleet.asked = {"a": use(fleet.now - 3), "b": use(waiting=1)}
    fleet.looks(2)
    assert fleet.awake() == ["b"]
    fleet.looks(3 * HOLD)
    assert fleet.awake() == ["b"], "what a had in work asks for no other turn"


def test_a_new_operator_leaves_the_device_to_its_holder() -> None:
    fleet = Fleet(a=SERVES, b={"desiredReplicas": 0, "scaling": {"owner": "genset", "reason": "WaitsForPool"}})
    assert not fleet.reconcile("b").awake, "a has not been met, and has pods"
    assert fleet.reconcile("a").awake
    fleet.asked = {"a": use(in_flight=1)}
    fleet.looks(HOLD - 5)
    assert fleet.awake() == ["a"], "its time begins anew"
    fleet.looks(8)
    assert fleet.awake() == []
