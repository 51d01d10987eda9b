"""What a stuck pod says: the words of components, without what a reader cannot use."""

from __future__ import annotations

from typing import Any

import pytest

from genset.status import pods
from genset.status.pod import PodView

LLAMA = """\
warn: LLAMA_ARG_HOST environment variable is set, but will be overwritten by command line argument --host
error: invalid argument: --no-such-flag
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (LLAMA, "error: invalid argument: --no-such-flag"),
        ("starting\nbye\n\n", "bye"),
        ("Error one\nfine\nfailed two", "Error one / failed two"),
        ("error 1\nerror 2\nerror 3\nerror 4", "error 2 / error 3 / error 4"),
        ("", ""),
        ("error " + "x" * 1000, "x" * 400),
    ],
)
def test_last_words(log: str, words: str) -> None:
    assert pods.last_words(log) == words


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes "
            "are available: 1 Preemption is not helpful for scheduling.",
            "No node can take pod a: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
        ),
        (
            "0/3 nodes are available: 3 node(s) had untolerated taint(s). preemption: 0/3 nodes are available",
            "No node can take pod a: 0/3 nodes are available: 3 node(s) had untolerated taint(s)",
        ),
        (
            "0/1 nodes are available: 1 Too many pods.",
            "No node can take pod a: 0/1 nodes are available: 1 Too many pods",
        ),
    ],
)
def test_unschedulable(scheduler: str, told: str) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduler}
    verdict = pods.trouble([pod("a", conditions=[condition])])
    assert verdict is not None and (verdict.reason, verdict.message) == ("Unschedulable", told)


def pod(name: str, *, leaving: bool = False, **status: Any) -> PodView:
    metadata = {"name": name, **({"deletionTimestamp": "2026-11-21T10:00:00Z"} if leaving else {})}
    return PodView.of({"metadata": metadata, "status": {"phase": "Pending", **status}})


def test_pods_that_leave_or_are_over_do_not_count() -> None:
    stuck = {"containerStatuses": [{"name": "engine", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
    leaving = pod("b", leaving=True, **stuck)
    assert pods.live([leaving, pod("c", phase="Failed"), pod("d", phase="Succeeded")]) == []
    assert pods.trouble([leaving]) is None


def test_a_pod_that_drains_is_no_longer_ready() -> None:
    """Its readiness probe still passes, and its condition says so until the end."""
    passing: Any = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    serving, leaving = pod("a", **passing), pod("a", leaving=True, **passing)
    assert serving.ready and not leaving.ready and not pod("a").ready
    assert serving.running and not leaving.running and not pod("a").running


def test_a_pod_is_asked_before_it_is_ready() -> None:
    starting = pod("a", phase="Running", podIP="10.0.0.1", conditions=[{"type": "Ready", "status": "False"}])
    assert starting.running and starting.counts and not starting.ready
    assert not pod("a", phase="Running").running, "it has no address yet"


def test_only_a_ready_pod_has_been_ready_since_a_moment() -> None:
    moment = "2026-11-21T10:00:00Z"
    for said, since in (("True", moment), ("False", None)):
        conditions = [{"type": "Ready", "status": said, "lastTransitionTime": moment}]
        assert pod("a", conditions=conditions).ready_since == since


def test_a_container_killed_for_its_memory_names_its_limit() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled"}
    killed = PodView.of(
        {
            "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "engine", "resources": {"limits": {"memory": "2Gi"}}}]},
            "status": {"containerStatuses": [{"name": "engine", "restartCount": 2, "state": {"terminated": ended}}]},
        }
    )
    verdict = pods.trouble([killed])
    assert verdict is not None and "more than its memory limit (2Gi)" in verdict.message


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "RunContainerError", "CreateContainerError"])
def test_a_container_that_cannot_start_says_why(reason: str) -> None:
    waiting = {"reason": reason, "message": 'secret "hub" not found'}
    verdict = pods.trouble([pod("a", containerStatuses=[{"name": "engine", "state": {"waiting": waiting}}])])
    assert verdict is not None
    assert (verdict.reason, verdict.needs_person) == ("CrashLoop", True)
    assert 'secret "hub" not found' in verdict.message


def test_one_restart_is_no_crash_loop() -> None:
    once = {"name": "engine", "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}
    assert pods.trouble([pod("a", containerStatuses=[once])]) is None


def test_a_container_that_came_up_after_crashes_is_well() -> None:
    well = {"name": "engine", "restartCount": 7, "ready": True, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1}}}  # fmt: skip
    assert pods.trouble([pod("a", containerStatuses=[well])]) is None


def test_a_broken_sidecar_is_named() -> None:
    side = {"name": "side", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "message": "no config"}}}  # fmt: skip
    verdict = pods.trouble([pod("a", containerStatuses=[side])])
    assert verdict is not None and "Container side of pod a keeps ending with exit code 2: no config" in verdict.message
