"""What the operator makes of the routers' answers: who is woken, who may rest, and what keeps one awake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.router_admin import DemandReport
from genset.controllers.demand import SETTLE_SECONDS, DemandBook
from genset.controllers.keys import Key
from genset.controllers.references import References
from genset.desired import autoscale
from genset.status.pod import PodView
from genset.times import rfc3339

NOW = 1_800_000_000.0
IDLE = 600.0
HOUSE = Key(names.MODEL_DEPLOYMENT, "models", "house")
POLICY = Key(names.ROUTE_POLICY, "models", "assistant")
OTHER = Key(names.ROUTE_POLICY, "models", "batch")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def deployment(status: dict[str, Any] | None = None, uid: str = "u", **scaling: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "metadata": {"name": "house", "namespace": "models", "uid": uid},
            "spec": {"source": {"huggingFace": {"repo": "a/b"}}, "autoscaling": {"idleSeconds": int(IDLE), **scaling}},
            **({"status": status} if status is not None else {}),
        }
    )


def router(name: str, ip: str | None = "10.0.0.1", phase: str = "Running", leaving: bool = False) -> PodView:
    metadata = {"name": name, **({"deletionTimestamp": "2026-11-21T10:00:00Z"} if leaving else {})}
    return PodView.of({"metadata": metadata, "status": {"phase": phase, **({"podIP": ip} if ip else {})}})


def engine(ready_since: float) -> PodView:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(ready_since)}
    return PodView.of({"metadata": {"name": "house-1"}, "status": {"conditions": [condition]}})


def answer(last: float | None = None, up: float = 100_000, in_flight: int = 0, waiting: int = 0) -> dict[str, Any]:
    told = {"lastRequestSeconds": last, "inFlight": in_flight, "waiting": waiting}
    return {"upSeconds": up, "deployments": {"house": told}}


AWAKE = {"desiredReplicas": 1}
AT_REST = {"desiredReplicas": 0}


class Session:
    """One session of an operator, long after its begin, with one policy and its router pods."""

    def __init__(self, status: dict[str, Any] | None, *pods: PodView, age: float = 50_000) -> None:
        self.clock = Clock()
        self.clock.now = NOW - age
        self.references = References()
        self.references.set_deployments(POLICY, ["house"])
        self.book = DemandBook(self.references, self.clock)
        self.clock.now = NOW
        self.book.set_routers(POLICY, pods or [router("a")])
        self.reconcile(status)

    def reconcile(self, status: dict[str, Any] | None, ready_since: float = NOW - 40_000) -> None:
        """As the controller does: decides, and tells what it has done."""
        resource = deployment(status)
        self.decision = self.book.decide(HOUSE, resource)
        pods = [engine(ready_since)] if self.decision.awake else []
        told = autoscale.told_active(resource, self.book.last_request(HOUSE), awake=self.decision.awake)
        self.book.watch(HOUSE, resource, self.decision, pods, told)

    def hears(self, name: str, told: dict[str, Any] | None, policy: Key = POLICY) -> list[Key]:
        return self.book.take((policy, name), told and DemandReport.from_json(json.dumps(told).encode()))

    def decides(self, status: dict[str, Any]) -> bool:
        return self.book.decide(HOUSE, deployment(status)).awake


def test_a_request_wakes_at_once() -> None:
    session = Session(AT_REST)
    assert session.hears("a", answer()) == []
    assert session.hears("a", answer(last=0.4)) == [HOUSE]
    assert session.decides(AT_REST)
    session.reconcile(AT_REST)
    assert session.hears("a", answer(last=1.4)) == [], "it is being woken"


@pytest.mark.parametrize("told", [answer(waiting=1), answer(last=3000, in_flight=1)])
def test_whoever_waits_wakes(told: dict[str, Any]) -> None:
    assert Session(AT_REST).hears("a", told) == [HOUSE]


def told_at(moment: float) -> dict[str, Any]:
    """The status of one that is awake, with what it says of the last request."""
    return {**AWAKE, "lastActiveTime": rfc3339(moment)}


def test_silence_puts_to_rest() -> None:
    session = Session(told_at(NOW - IDLE))
    assert session.hears("a", answer(last=IDLE - 1)) == []
    session.clock.now += autoscale.TOLD_SECONDS + 1
    session.hears("a", answer(last=IDLE + 60))
    assert session.book.outdated() == [HOUSE]
    assert not session.decides(AWAKE)


def test_every_router_is_asked() -> None:
    session = Session(AWAKE, router("a"), router("b", "10.0.0.2"), router("c", None, "Pending"))
    assert [pod for (_, pod), _ in session.book.routers()] == ["a", "b"]
    assert session.hears("a", answer()) == [], "b has yet to speak"
    assert session.hears("b", answer(in_flight=1)) == []
    assert session.decides(AWAKE)
    assert session.hears("b", answer(last=2 * IDLE)) == [HOUSE]


def test_every_policy_is_asked() -> None:
    session = Session(told_at(NOW - 30))
    session.references.set_deployments(OTHER, ["house"])
    session.book.set_routers(OTHER, [router("x", "10.0.0.9")])
    assert session.hears("a", answer()) == []
    assert session.hears("x", answer(last=5.0), OTHER) == []
    assert session.decides(AWAKE)
    session.clock.now += IDLE
    session.hears("a", answer())
    assert session.hears("x", answer(last=5.0 + IDLE), OTHER) == [HOUSE]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no answer", None),
        ("an earlier version", {"error": "unknown path"}),
        ("nonsense", {"deployments": {"house": 1}}),
    ],
)
def test_a_router_that_does_not_tell_keeps_it_awake_and_the_status_says_why(what: str, told: Any) -> None:
    session = Session(AWAKE, router("a"), router("b", "10.0.0.2"))
    session.hears("b", told)
    assert session.hears("a", answer()) == [], "it may have just begun to listen"
    session.clock.now += 6
    session.hears("b", told)
    assert session.hears("a", answer()) == [HOUSE], "there is something new to say"
    session.reconcile(AWAKE)
    assert session.decision.awake and session.decision.note == "router b does not tell of its requests"
    assert session.hears("a", answer()) == [], "said once"
    assert session.hears("b", answer()) == [HOUSE]
    assert not session.decides(AWAKE)


def test_an_answer_grows_old() -> None:
    session = Session(AWAKE)
    session.hears("a", answer())
    session.clock.now += 6
    assert session.decides(AWAKE)


def test_a_router_that_is_going_away_counts_while_it_answers() -> None:
    session = Session(AWAKE, router("a"), router("old", "10.0.0.2", leaving=True))
    session.hears("old", answer(last=2 * IDLE, in_flight=1))
    session.hears("a", answer())
    assert session.decides(AWAKE), "a draining router still answers somebody"
    session.clock.now += 6
    session.hears("old", None)
    session.hears("a", answer())
    assert not session.decides(AWAKE)


@pytest.mark.parametrize(
    ("pods", "note"),
    [
        ([], "no router of RoutePolicy assistant runs"),
        ([router("old", leaving=True)], "no router of RoutePolicy assistant runs"),
    ],
)
def test_without_routers_nothing_is_known(pods: list[PodView], note: str) -> None:
    session = Session(AWAKE)
    session.book.set_routers(POLICY, pods)
    session.reconcile(AWAKE)
    assert session.decision.awake and session.decision.note == note


def test_a_deployment_that_no_policy_names_stays_as_it_is() -> None:
    session = Session(AWAKE)
    session.references.drop(POLICY)
    session.reconcile(AWAKE)
    assert session.decision.awake and "no RoutePolicy names it" in session.decision.note
    assert not session.decides(AT_REST)


def test_a_new_session_says_nothing_of_routers_that_it_has_not_met() -> None:
    session = Session(AWAKE, age=0)
    session.book.set_routers(POLICY, [])
    session.reconcile(AWAKE)
    assert session.decision.awake and session.decision.note == ""
    session.clock.now += SETTLE_SECONDS + 1
    assert session.book.outdated() == [HOUSE]


def test_a_restarted_operator_rests_on_time_if_the_routers_remember() -> None:
    session = Session({**AWAKE, "lastActiveTime": rfc3339(NOW - 5000)}, age=0)
    assert session.hears("a", answer(last=IDLE + 1)) == [HOUSE]
    assert not session.decides({**AWAKE, "lastActiveTime": rfc3339(NOW - 5000)})


def test_a_restarted_operator_believes_the_status_plus_its_lag() -> None:
    """The router lost its memory; the status is up to a minute behind the truth."""
    status = {**AWAKE, "lastActiveTime": rfc3339(NOW - IDLE)}
    session = Session(status, age=0)
    session.hears("a", answer())
    assert session.decides(status)
    session.clock.now += autoscale.TOLD_SECONDS
    assert session.hears("a", answer()) == [HOUSE]


def test_when_operator_and_router_are_both_new_nothing_is_known_for_a_while() -> None:
    session = Session(AWAKE, age=0)
    session.hears("a", answer(up=20))
    assert session.decides(AWAKE)
    session.clock.now += IDLE - 21
    session.hears("a", answer(up=IDLE - 1))
    assert session.decides(AWAKE)
    session.clock.now += 1
    session.hears("a", answer(up=IDLE))
    assert not session.decides(AWAKE), "from the older of the two on, everything was seen"


def test_a_router_that_restarts_does_not_make_it_forget() -> None:
    session = Session(AWAKE)
    session.hears("a", answer(last=10))
    session.book.set_routers(POLICY, [router("b", "10.0.0.2")])
    session.clock.now += 30
    session.hears("b", answer(up=5))
    assert session.decides(AWAKE)
    session.clock.now += IDLE - 40
    session.hears("b", answer(up=IDLE - 35))
    assert not session.decides(AWAKE), "the operator has watched all the time"


def test_one_that_has_just_come_up_is_given_time() -> None:
    """A download may take hours: whoever wanted it comes back when it is there."""
    session = Session(AWAKE)
    session.reconcile(AWAKE, ready_since=NOW - 3)
    session.hears("a", answer(last=7200))
    assert session.decides(AWAKE)
    session.clock.now += IDLE
    assert session.hears("a", answer(last=7200 + IDLE)) == [HOUSE]


def test_last_active_time_is_due_once_a_minute() -> None:
    session = Session(AWAKE)
    assert session.hears("a", answer(last=0.1)) == [HOUSE], "never told so far"
    session.reconcile(AWAKE)
    for _ in range(59):
        session.clock.now += 1
        assert session.hears("a", answer(last=0.1)) == []
    session.clock.now += 2
    assert session.hears("a", answer(last=0.1)) == [HOUSE]


def test_at_rest_nothing_is_due() -> None:
    session = Session({**AT_REST, "lastActiveTime": rfc3339(NOW - 9000)}, age=0)
    for second in range(100):
        session.clock.now += 1
        assert session.hears("a", answer(last=9000.0 + second)) == []


def test_another_of_the_same_name_begins_anew() -> None:
    session = Session(AWAKE)
    session.hears("a", answer(last=5))
    fresh = deployment(None, uid="another")
    session.book.watch(HOUSE, fresh, session.book.decide(HOUSE, fresh), [], None)
    assert session.book.last_request(HOUSE) is None


def test_one_that_is_no_longer_autoscaled_is_forgotten() -> None:
    session = Session(AWAKE)
    fixed = ModelDeployment.model_validate(
        {"metadata": {"name": "house"}, "spec": {"source": {"huggingFace": {"repo": "a/b"}}}}
    )
    session.book.watch(HOUSE, fixed, session.book.decide(HOUSE, fixed), [], None)
    assert session.book.routers() == [] and session.hears("a", answer(last=1)) == []
