"""What a stuck pod says: the words of components, without what a reader cannot use."""

from __future__ import annotations

from typing import Any

import pytest

from genset.status import pods

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


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": "Pending", **status}}


def test_pods_that_leave_or_are_over_do_not_count() -> None:
    stuck = {"containerStatuses": [{"name": "engine", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
    leaving = {**pod("b", **stuck), "metadata": {"name": "b", "deletionTimestamp": "2026-11-21T10:00:00Z"}}
    assert pods.live([leaving, pod("c", phase="Failed"), pod("d", phase="Succeeded")]) == []
    assert pods.trouble([leaving]) is None


def test_a_pod_that_drains_is_no_longer_ready() -> None:
    """Its readiness probe still passes, and its condition says so until the end."""
    serving = pod("a", conditions=[{"type": "Ready", "status": "True"}])
    leaving = {**serving, "metadata": {"name": "a", "deletionTimestamp": "2026-11-21T10:00:00Z"}}
    assert pods.is_ready(serving) and not pods.is_ready(leaving) and not pods.is_ready(pod("a"))


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
