"""A group that is made anew each time a container of it ends tells of that as a pod does that stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genset import names
from genset.controllers.group_crashes import GroupCrashes
from genset.controllers.keys import Key
from genset.status import pods
from genset.status.pod import PodView

KEY = Key("ModelDeployment", "models", "giant")
LEADER, WORKER = "giant-nodes-0", "giant-nodes-0-1"
BROKEN = "error: no device"
WEIGHTS = "what the puller knows of the model"


def pod(name: str, life: int, *, ended: str = "", ready: bool = False, leaving: bool = False) -> PodView:
    """A pod of a group's nth life. `ended`: when its engine had ended; it has been started again since."""
    component = names.COMPONENT_ENGINE if name == LEADER else names.COMPONENT_WORKER
    metadata = {"name": name, "uid": f"{name}.{life}", "labels": {names.LABEL_COMPONENT: component}}
    engine = {"name": "engine", "restartCount": 0, "ready": True, "state": {"running": {}}}
    if ended:
        last = {"exitCode": 1, "message": BROKEN, "finishedAt": ended}
        engine |= {"restartCount": 1, "lastState": {"terminated": last}}
    status = {
        "phase": "Running",
        "initContainerStatuses": [{"name": "weights", "state": {"terminated": {"exitCode": 0, "message": WEIGHTS}}}],
        "containerStatuses": [engine],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return PodView.of({"metadata": metadata | ({"deletionTimestamp": "t"} if leaving else {}), "status": status})


def told(book: GroupCrashes, *group: PodView, generation: int = 1) -> str:
    verdict = pods.trouble(book.carried(KEY, generation, group, wanted=11))
    return "" if verdict is None else verdict.message


def crashed(book: GroupCrashes, lives: int) -> None:
    for life in range(lives):
        told(book, pod(LEADER, life), pod(WORKER, life, ended=f"2026-11-30T10:0{life}:00Z"))


def test_one_end_may_be_a_passing_fault() -> None:
    book = GroupCrashes()
    crashed(book, 1)
    assert told(book, pod(LEADER, 1), pod(WORKER, 1)) == ""


def test_a_pod_that_has_ended_altogether_is_told_until_the_next_one_is_there() -> None:
    book = GroupCrashes()
    crashed(book, 2)
    over = replace(pod(WORKER, 1, ended="2026-11-30T10:01:00Z", leaving=True), phase="Failed")
    for now in ((pod(LEADER, 1, leaving=True), over), ()):
        assert f"pod {WORKER} " in told(book, *now)


@pytest.mark.parametrize(
    "now",
    [
        (pod(LEADER, 2), pod(WORKER, 2)),  # the next group runs: a worker without a probe is ready at once
        (pod(LEADER, 1, leaving=True), pod(WORKER, 1, leaving=True)),
        (pod(LEADER, 2),),
        (),
    ],
)
def test_from_the_second_on_it_is_told_at_any_moment(now: tuple[PodView, ...]) -> None:
    book = GroupCrashes()
    crashed(book, 2)
    assert told(book, *now) == f"Container engine of pod {WORKER} keeps ending with exit code 1: {BROKEN}"


def test_the_one_that_ended_first_is_told_and_not_those_that_followed() -> None:
    book = GroupCrashes()
    for life in range(2):
        begin, after = (f"2026-11-30T10:0{life}:0{second}Z" for second in (0, 3))
        told(book, pod(LEADER, life), pod(WORKER, life, ended=begin))
        told(book, pod(LEADER, life, ended=after), pod(WORKER, life, ended=begin))
    assert f"pod {WORKER} " in told(book, pod(LEADER, 2), pod(WORKER, 2))


def test_what_is_known_of_the_model_stays_known_until_the_next_pod_has_looked() -> None:
    book = GroupCrashes()
    crashed(book, 2)
    young = replace(pod(WORKER, 2), containers=())
    for now in ((pod(LEADER, 2), young), ()):
        carried = {one.name: one.container("weights") for one in book.carried(KEY, 1, now, wanted=1)}
        assert (weights := carried[WORKER]) is not None and weights.last_message == WEIGHTS


@pytest.mark.parametrize("generation", [1, 2])
def test_a_leader_that_is_ready_and_another_spec_end_it(generation: int) -> None:
    book = GroupCrashes()
    crashed(book, 2)
    told(book, pod(LEADER, 2, ready=generation == 1), pod(WORKER, 2), generation=generation)
    assert told(book, pod(LEADER, 2), pod(WORKER, 2), generation=generation) == ""


def test_other_pods_are_as_they_were() -> None:
    book = GroupCrashes()
    crashed(book, 2)
    other = pod("giant-nodes-10", 0, ready=True)
    assert other in book.carried(KEY, 1, (pod(LEADER, 2), other), wanted=11)
    book.forget(KEY)
    fresh = (pod(LEADER, 2), pod(WORKER, 2))
    assert book.carried(KEY, 1, fresh, wanted=11) == fresh


def test_a_group_that_is_no_longer_wanted_leaves_nothing() -> None:
    book = GroupCrashes()
    crashed(book, 2)
    assert book.carried(KEY, 1, (), wanted=0) == ()


def test_a_pod_of_no_group_is_left_as_it_is() -> None:
    """It was made by a Deployment, before the model was split."""
    left = replace(pod(LEADER, 0, ended="2026-11-30T10:00:00Z"), name="giant-7d4f9-x2b4k")
    assert GroupCrashes().carried(KEY, 1, (left,), wanted=1) == (left,)
