"""What a stuck pod says: the words of components, without what a reader cannot use."""

from __future__ import annotations

from dataclasses import replace
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


def engine(
    *, restarts: int = 1, ran: int = 30, ready_flip: str = "2026-11-21T10:00:00Z", name: str = "engine", **last: Any
) -> PodView:
    """A pod whose engine, or the container of another name, has a start-up probe of 30 s, and has ended after `ran` seconds,
    begun at 10:00:05."""
    ended = f"2026-11-21T10:{(5 + ran) // 60:02d}:{(5 + ran) % 60:02d}Z"
    run = {"startedAt": "2026-11-21T10:00:05Z", "finishedAt": ended, "exitCode": 143, "reason": "Error", **last}
    status = {"name": name, "restartCount": restarts, "state": {"running": {}}, "lastState": {"terminated": run}}
    probe = {"periodSeconds": 5, "failureThreshold": 6}
    return PodView.of(
        {
            "metadata": {"name": "a"},
            "spec": {"containers": [{"name": name, "startupProbe": probe}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": ready_flip}],
                "containerStatuses": [status],
            },
        }
    )


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (engine(), "StartupTimeout"),
        (engine(exitCode=137), "StartupTimeout"),
        (engine(exitCode=0), "StartupTimeout"),
        (engine(ran=12), None),  # it ended on its own: one restart may be passing
        (engine(ran=12, restarts=3), "CrashLoop"),
        (engine(exitCode=137, reason="OOMKilled", restarts=3), "CrashLoop"),
        (engine(ran=300, ready_flip="2026-11-21T10:04:00Z"), None),  # it was ready then: a liveness probe has ended it
    ],
)
def test_an_engine_that_was_not_given_the_time_to_load(seen: PodView, reason: str | None) -> None:
    verdict = pods.trouble([seen])
    assert (verdict.reason if verdict else None) == reason
    if reason == "StartupTimeout":
        assert (
            verdict is not None and "rollout.startupSeconds (30)" in verdict.message and "raise it" in verdict.message
        )


@pytest.mark.parametrize(
    ("name", "reason", "words", "needs_person"),
    [
        ("istio-proxy", "SidecarNotReady", "it is not one of genset's", False),
        ("router", "StartupTimeout", "give it more router.resources.cpu", True),
    ],
)
def test_whoever_else_was_not_given_the_time_to_start(name: str, reason: str, words: str, needs_person: bool) -> None:
    """A sidecar's time is not rollout.startupSeconds, and no person who reads this resource can raise it."""
    verdict = pods.trouble([engine(name=name)])
    assert verdict is not None and (verdict.reason, verdict.needs_person) == (reason, needs_person)
    assert f"Container {name} of pod a did not become ready" in verdict.message and words in verdict.message
    assert "rollout.startupSeconds" not in verdict.message


def test_a_sandbox_that_no_node_can_make() -> None:
    words = 'Failed to create pod sandbox: no runtime for "nvidia" is configured'
    verdict = pods.trouble([replace(pod("a"), sandbox_failure=words)])
    assert verdict is not None and (verdict.reason, verdict.needs_person) == ("SandboxFailed", True)
    assert words in verdict.message and "pod a" in verdict.message


@pytest.mark.parametrize(
    ("conditions", "containers", "waits"),
    [
        ({"PodScheduled": "True"}, [], True),
        ({"PodScheduled": "True", "PodReadyToStartContainers": "False"}, [{"waiting": {}}], True),
        ({"PodScheduled": "True", "PodReadyToStartContainers": "True"}, [{"waiting": {}}], False),
        ({"PodScheduled": "True"}, [{"running": {}}], False),
        ({"PodScheduled": "False"}, [], False),
        ({}, [], False),
    ],
)
def test_which_pods_wait_for_their_sandbox(
    conditions: dict[str, str], containers: list[dict[str, Any]], waits: bool
) -> None:
    seen = pod(
        "a",
        conditions=[{"type": kind, "status": status} for kind, status in conditions.items()],
        initContainerStatuses=[{"name": "weights", "state": state} for state in containers],
    )
    assert seen.waits_for_sandbox is waits


def test_an_engine_that_ends_well_was_ended_by_its_node() -> None:
    """The kubelet evicts a drained llama-server as Succeeded, without a reason."""
    verdict = pods.trouble([pod("a", phase="Succeeded")])
    assert verdict is not None and verdict.reason == "ReplicasMissing" and "ended by its node" in verdict.message
    assert pods.trouble([pod("a", phase="Succeeded", reason="Evicted", message="low on memory")]) is not None


def test_arguments_that_end_at_once_are_named_as_the_cause() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 0}}
    verdict = pods.trouble(
        [pod("a", containerStatuses=[{"name": "engine", "state": state, "lastState": last, "restartCount": 3}])]
    )
    assert verdict is not None and "exit code 0" in verdict.message and "podTemplate" in verdict.message


@pytest.mark.parametrize(
    ("ready", "started", "restarts", "coming"),
    [
        ("2026-11-21T10:00:00Z", "", 0, True),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:02Z", 0, True),
        ("2026-11-21T10:05:00Z", "2026-11-21T10:00:02Z", 0, False),  # it was ready before
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:02Z", 1, False),
    ],
)
def test_a_pod_that_starts_for_the_first_time(ready: str, started: str, restarts: int, coming: bool) -> None:
    state = {"running": {"startedAt": started}} if started else {"waiting": {"reason": "PodInitializing"}}
    seen = pod(
        "a",
        conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": ready}],
        containerStatuses=[{"name": "engine", "state": state, "restartCount": restarts}],
    )
    assert seen.coming is coming
