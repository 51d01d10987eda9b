"""Pods with containers that genset did not make: a mesh's sidecar is never the engine's trouble, and told when it blocks."""

from __future__ import annotations

from typing import Any

import pytest

from genset.status import pods
from genset.status.pod import PodView

Object = dict[str, Any]
BEGAN, NOW = "2026-11-29T10:00:00Z", "2026-11-29T10:05:00Z"
RUNS = {"state": {"running": {"startedAt": BEGAN}}, "started": True}
DONE = {"state": {"terminated": {"exitCode": 0, "startedAt": BEGAN, "finishedAt": BEGAN}}, "ready": True}
WAITS = {"state": {"waiting": {"reason": "PodInitializing"}}}


def ended(code: int, words: str = "", reason: str = "Error") -> Object:
    last = {"exitCode": code, "message": words, "reason": reason, "startedAt": BEGAN, "finishedAt": BEGAN}
    return {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": last}, "restartCount": 5}


def pod(
    engine: Object, weights: Object = DONE, proxy: Object | None = None, *, ready: bool = False, **also: Object
) -> PodView:
    """A pod of an engine, with the native sidecar `istio-proxy` first, and ordinary containers `also` last."""
    sidecar = {"name": "istio-proxy", "restartPolicy": "Always"}
    inits = [
        {"name": "istio-proxy", **(proxy if proxy is not None else {**RUNS, "ready": True})},
        {"name": "weights", **weights},
    ]
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "PodReadyToStartContainers", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": NOW},
    ]
    return PodView.of(
        {
            "metadata": {"name": "house-0"},
            "spec": {
                "initContainers": [sidecar, {"name": "weights"}],
                "containers": [{"name": "engine"}, *({"name": name} for name in also)],
            },
            "status": {
                "phase": "Running",
                "conditions": conditions,
                "initContainerStatuses": inits,
                "containerStatuses": [{"name": "engine", **engine}, *({"name": name, **state} for name, state in also.items())],
            },
        }
    )  # fmt: skip


SERVES = {**RUNS, "ready": True}
LOADS = {**RUNS, "ready": False}


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        # All is well, whatever the sidecar has been through.
        (pod(SERVES, ready=True), "", ""),
        (pod(SERVES, proxy={**RUNS, "ready": True, "restartCount": 9, **ended(1)}, ready=True), "", ""),
        (pod(SERVES, ready=True, logger=ended(1)), "", ""),
        # The engine loads: that is the engine's to tell.
        (pod(LOADS), "", ""),
        (pod(WAITS, weights=RUNS), "", ""),
        (pod(LOADS, proxy={**RUNS, "ready": False}), "", ""),
        # The sidecar keeps the pod from serving.
        (
            pod(SERVES, proxy={**RUNS, "ready": False}),
            "SidecarNotReady", "waits for its container istio-proxy, which is not ready",
        ),
        (pod(SERVES, logger={**RUNS, "ready": False}), "SidecarNotReady", "waits for its container logger, which is not ready"),
        # The sidecar keeps the puller, or the engine, from being started.
        (
            pod(WAITS, weights=WAITS, proxy={**RUNS, "started": False}),
            "SidecarNotReady", "waits for its container istio-proxy, which has not started yet",
        ),
        (
            pod(WAITS, proxy={**RUNS, "started": False}),
            "SidecarNotReady", "waits for its container istio-proxy, which has not started yet",
        ),
        (
            pod(WAITS, weights=WAITS, proxy=ended(255, "error: cannot reach istiod")),
            "CrashLoop", "istio-proxy of pod house-0 keeps ending with exit code 255: error: cannot reach istiod; it is not one",
        ),
        (pod(WAITS, weights=WAITS, proxy=ended(0)), "CrashLoop", "istio-proxy of pod house-0 keeps ending with exit code 0"),
        (
            pod(WAITS, weights=WAITS, proxy=ended(137, reason="OOMKilled")),
            "CrashLoop", "more than its memory limit: it is not one of genset's",
        ),
        (
            pod(WAITS, weights=WAITS, proxy={"state": {"waiting": {"reason": "ImagePullBackOff"}}, "image": "mesh/proxy"}),
            "ImagePullFailed", "Image mesh/proxy of container istio-proxy cannot be pulled",
        ),
        # Both are in trouble: genset's own container first.
        (pod(ended(1, "error: no such flag"), proxy=ended(255)), "CrashLoop", "Container engine of pod house-0"),
    ],
)  # fmt: skip
def test_what_is_told(seen: PodView, reason: str, words: str) -> None:
    verdict = pods.trouble([seen], quiet=frozenset({"weights"}))
    assert (verdict.reason if verdict else "", words in (verdict.message if verdict else "")) == (reason, True)
    assert "spec.resources.memory" not in (verdict.message if verdict else "") or "engine" in words


def test_a_restarted_sidecar_is_no_restart_of_the_engine() -> None:
    loads = {**LOADS, "state": {"running": {"startedAt": NOW}}}
    assert pod(
        loads, weights={**DONE, "state": {"terminated": {"exitCode": 0}}}, proxy={**RUNS, "restartCount": 3}
    ).coming
    assert not pod({**loads, "restartCount": 1}).coming


def test_a_healthy_replica_is_not_hidden_by_a_sidecar_elsewhere() -> None:
    """What one pod waits for is told also while another serves: the reader wants to know why there are not two."""
    seen = [pod(SERVES, ready=True), pod(SERVES, proxy={**RUNS, "ready": False})]
    verdict = pods.trouble(seen)
    assert verdict is not None and verdict.reason == "SidecarNotReady"
