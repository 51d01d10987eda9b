"""What changes by itself must not change a status: retries of the kubelet, counters, bytes of a download."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.contracts.puller import DownloadProgress
from genset.status.model_deployment import evaluate
from genset.status.observed import CompletionProbe, ModelDeploymentObserved, template_key
from genset.status.pod import PodView

NOW = "2026-11-21T10:00:00Z"
TOTAL = 5_200_000_000


def resource(status: ModelDeploymentStatus | None = None, generation: int = 1, **spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "metadata": {"name": "house", "namespace": "models", "generation": generation},
            "spec": {"source": {"huggingFace": {"repo": "a/b"}}, **spec},
            "status": status.model_dump(mode="json") if status else None,
        }
    )


def deployment(available: int = 0) -> dict[str, Any]:
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": available, "availableReplicas": available}
    return {
        "metadata": {"name": "house", "generation": 1},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "engine", "image": "i:1"}]}}},
        "status": {"observedGeneration": 1, **counts},
    }


def pod(engine: dict[str, Any] | None = None, weights: dict[str, Any] | None = None) -> PodView:
    done = {"state": {"terminated": {"exitCode": 0}}}
    status = {
        "phase": "Pending",
        "initContainerStatuses": [{"name": "weights", **(weights or done)}],
        "containerStatuses": [{"name": "engine", **engine}] if engine else [],
    }
    return PodView.of({"metadata": {"name": "house-a"}, "status": status})


def status_of(*pods: PodView, **observed: Any) -> ModelDeploymentStatus:
    return evaluate(resource(), ModelDeploymentObserved(deployment=deployment(), pods=pods, **observed), NOW)


CAUSE = "rpc error: code = NotFound desc = registry.example/none:1: not found"
RETRIES = {
    "image": [
        {"image": "none:1", "state": {"waiting": {"reason": "ErrImagePull", "message": CAUSE}}},
        {"image": "none:1", "state": {"waiting": {"reason": "ImagePullBackOff",
         "message": f'Back-off pulling image "none:1": ErrImagePull: {CAUSE}'}}},
    ],
    "crash": [
        {"restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "message": "bad"}}},
        {"restartCount": 2, "state": {"terminated": {"exitCode": 1, "message": "bad"}}},
        {"restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}},
         "lastState": {"terminated": {"exitCode": 1, "message": "bad"}}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", RETRIES)
def test_a_stuck_container_looks_the_same_at_each_retry(name: str) -> None:
    seen = [status_of(pod(engine=state)) for state in RETRIES[name]]
    assert all(status == seen[0] for status in seen), [s.conditions[-1].message for s in seen]
    assert seen[0].conditions[-1].type == "Stalled"


def test_a_permanent_failure_of_the_puller_stays_said_while_it_tries_again() -> None:
    words = {"exitCode": 3, "message": '{"reason": "ChecksumMismatch", "message": "it differs"}'}
    states = [
        {"state": {"terminated": words}},
        {"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": words}},
        {"restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": words}},
    ]
    seen = [status_of(pod(weights=state)) for state in states]
    assert {status.conditions[1].reason for status in seen} == {"ChecksumMismatch"}
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(
    ("last", "reason", "words"),
    [
        ({"exitCode": 1, "message": "Traceback: boom"}, "DownloadFailed", "exit code 1"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "DownloadFailed", "memory limit"),
        (
            {"exitCode": 1, "message": '{"reason": "Novel", "message": "something new"}'},
            "DownloadFailed",
            "something new",
        ),
        ({"exitCode": 1, "message": '["x"]'}, "DownloadFailed", "exit code 1"),
        ({"exitCode": 1, "message": '{"reason": "DiskFull", "message": "full"}'}, "DiskFull", "full"),
    ],
)
def test_last_words_of_the_puller(last: dict[str, Any], reason: str, words: str) -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    weights = status_of(
        pod(weights={"restartCount": 1, "state": waiting, "lastState": {"terminated": last}})
    ).conditions[1]
    assert (weights.status, weights.reason) == ("False", reason)
    assert words in weights.message


def test_a_download_writes_the_status_twenty_times_and_not_each_second() -> None:
    running = pod(weights={"state": {"running": {}}})
    written, status = 0, None
    for second in range(1000):
        progress = DownloadProgress("downloading", received=TOTAL * second // 1000, total_bytes=TOTAL, revision="abc")
        seen = ModelDeploymentObserved(deployment=deployment(), pods=(running,), weights={"house-a": progress})
        new = evaluate(resource(status), seen, NOW)
        written += new != status
        status = new
    assert written == 20


@given(st.integers(0, TOTAL * 2), st.integers(0, TOTAL))
def test_progress_is_never_more_than_there_is(got: int, total: int) -> None:
    running = pod(weights={"state": {"running": {}}})
    progress = DownloadProgress("downloading", received=got, total_bytes=total)
    weights = status_of(running, weights={"house-a": progress}).weights
    assert weights is not None
    assert 0 <= weights.percent <= 100 and weights.percent % 5 == 0
    assert weights.bytes <= max(got, weights.total_bytes)
    assert weights.percent < 100 or got >= total


def test_progress_that_is_not_heard_for_a_moment_stays() -> None:
    running = pod(weights={"state": {"running": {}}})
    heard = status_of(running, weights={"house-a": DownloadProgress("downloading", TOTAL // 2, TOTAL, "abc")})
    silent = evaluate(resource(heard), ModelDeploymentObserved(deployment=deployment(), pods=(running,)), NOW)
    assert silent.weights == heard.weights


def test_an_earlier_download_that_is_served_says_so() -> None:
    ended = {
        "state": {"terminated": {"exitCode": 0, "message": '{"reason": "WeightsReady", "message": "an earlier one"}'}}
    }
    condition = status_of(pod(weights=ended)).conditions[1]
    assert (condition.status, condition.message) == ("True", "an earlier one")


READY_POD = pod(engine={"ready": True, "state": {"running": {}}})


def up(
    status: ModelDeploymentStatus | None, completion: CompletionProbe | None, **changes: Any
) -> ModelDeploymentStatus:
    live = deployment(available=1)
    given_resource = resource(status, **changes)
    return evaluate(given_resource, ModelDeploymentObserved(live, (READY_POD,), {}, completion), NOW)


def ready(status: ModelDeploymentStatus) -> tuple[str, str]:
    return status.conditions[3].status, status.conditions[3].reason


def test_ready_needs_a_completion_of_the_current_pods() -> None:
    key = template_key(resource(), deployment(available=1))
    assert ready(up(None, None)) == ("False", "Starting")
    assert ready(up(None, CompletionProbe(True, "", "older"))) == ("False", "Starting")
    assert ready(up(None, CompletionProbe(False, "500", key))) == ("False", "CompletionFailed")
    assert ready(up(None, CompletionProbe(False, "refused", key, reached=False))) == ("False", "Unreachable")
    assert ready(up(None, CompletionProbe(True, "", key))) == ("True", "Ready")


def test_an_operator_that_restarts_writes_nothing() -> None:
    key = template_key(resource(), deployment(available=1))
    before = up(None, CompletionProbe(True, "", key))
    assert up(before, None) == before


def test_ready_of_an_older_generation_is_not_taken_over() -> None:
    key = template_key(resource(), deployment(available=1))
    before = up(None, CompletionProbe(True, "", key))
    assert ready(up(before, None, generation=2)) == ("False", "Starting")


def test_waking_up_from_zero_is_not_ready_because_zero_was() -> None:
    zero = {**deployment(), "spec": {**deployment()["spec"], "replicas": 0}, "status": {"observedGeneration": 1}}
    resting = evaluate(resource(replicas=0), ModelDeploymentObserved(zero), NOW)
    assert ready(resting) == ("True", "ScaledToZero")
    assert ready(up(resting, None)) == ("False", "Starting")


def test_the_key_follows_the_template_and_the_external_server() -> None:
    first, other = deployment(), deployment()
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    assert template_key(resource(), first) == template_key(resource(replicas=5), deployment(available=1))
    assert template_key(resource(), first) != template_key(resource(), other)
    assert template_key(resource(), None) == ""

    def desk(url: str) -> str:
        spec = {"engine": "external", "external": {"url": url}}
        return template_key(ModelDeployment.model_validate({"metadata": {"name": "d"}, "spec": spec}), None)

    assert desk("http://a") == desk("http://a") != desk("http://b")
