"""manifests/argocd/health.lua in Lua 5.1, as Argo CD runs it, over statuses as the operator writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from genset.api import modeldeployment, routepolicy

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "manifests" / "argocd" / "health.lua").read_text()
MR, RR = modeldeployment.Reason, routepolicy.Reason


def to_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return runtime.table_from({key: to_lua(runtime, item) for key, item in value.items()})
    if isinstance(value, list):
        return runtime.table_from([to_lua(runtime, item) for item in value])
    return value


def health(resource: dict[str, Any]) -> tuple[str, str]:
    """Argo CD's verdict: the state and the message that people read in its UI."""
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True)
    runtime.globals().obj = to_lua(runtime, resource)
    answer = runtime.execute(SCRIPT)
    return answer["status"], answer["message"]


def resource(*conditions: tuple[str, str, str, str], generation: int = 1, observed: int = 1) -> dict[str, Any]:
    """Conditions as (type, status, reason, message)."""
    keys = ("type", "status", "reason", "message")
    status = {"observedGeneration": observed, "conditions": [dict(zip(keys, c, strict=True)) for c in conditions]}
    return {"metadata": {"name": "a", "generation": generation}, "status": status}


def test_new() -> None:
    assert health({"metadata": {"name": "a", "generation": 1}}) == (
        "Progressing", "The operator has not seen this resource yet",
    )  # fmt: skip


def test_changed_and_not_seen_yet() -> None:
    before = resource(("Ready", "True", "Ready", "Works"), generation=3, observed=2)
    assert health(before) == ("Progressing", "The operator has not seen generation 3 yet")


def test_ready() -> None:
    assert health(resource(("Accepted", "True", "Accepted", ""), ("Ready", "True", "Ready", "Works"))) == (
        "Healthy", "Works",
    )  # fmt: skip


def test_stalled_wins_over_everything() -> None:
    found = resource(
        ("Accepted", "True", "Accepted", ""),
        ("WeightsReady", "False", "Downloading", "5 %"),
        ("Ready", "False", "Downloading", "5 %"),
        ("Stalled", "True", "DiskFull", "cache.size 1Gi is too small for 5 GiB: make it larger"),
    )
    assert health(found) == ("Degraded", "DiskFull: cache.size 1Gi is too small for 5 GiB: make it larger")


def test_the_first_failing_condition_speaks() -> None:
    found = resource(
        ("Accepted", "True", "Accepted", ""),
        ("ResolvedRefs", "False", "SecretNotFound", "Secret cloud does not exist: create it"),
        ("Ready", "False", "Pending", "0 of 2 routers"),
    )
    assert health(found) == ("Degraded", "SecretNotFound: Secret cloud does not exist: create it")


def test_the_first_thing_waited_for_speaks() -> None:
    found = resource(
        ("WeightsReady", "False", "Downloading", "35 % of 5 GiB"),
        ("Available", "False", "Starting", ""),
        ("Ready", "False", "Starting", "no replica yet"),
    )
    assert health(found) == ("Progressing", "Downloading: 35 % of 5 GiB")


def test_at_rest_is_healthy() -> None:
    found = resource(
        ("Accepted", "True", "Accepted", ""),
        ("WeightsReady", "Unknown", "ScaledToZero", "No replica is wanted"),
        ("Available", "False", "ScaledToZero", "0 replicas wanted"),
        ("Ready", "True", "ScaledToZero", "At rest, as asked: spec.replicas is 0"),
    )
    assert health(found) == ("Healthy", "At rest, as asked: spec.replicas is 0")


def test_a_model_that_a_request_will_wake_is_healthy() -> None:
    found = resource(
        ("WeightsReady", "True", "WeightsReady", ""),
        ("Available", "False", "AtRest", "At rest"),
        ("Ready", "True", "AtRest", "At rest: no request came for 600 s"),
    )
    assert health(found) == ("Healthy", "At rest: no request came for 600 s")


def test_a_policy_that_starts_is_not_healthy_yet() -> None:
    found = resource(
        ("Programmed", "False", "NoRouters", "No router is ready yet"),
        ("Ready", "False", "NoRouters", "No router is ready yet"),
    )
    assert health(found) == ("Progressing", "NoRouters: No router is ready yet")


def test_unknown_waits() -> None:
    assert health(resource(("Ready", "Unknown", "Starting", "")))[0] == "Progressing"


WAITING = {
    MR.NAMESPACE_TERMINATING, MR.DOWNLOADING, MR.WAITING_FOR_VOLUME, MR.SOURCE_UNREACHABLE, MR.DOWNLOAD_FAILED,
    MR.STARTING, MR.UNSCHEDULABLE, MR.REPLICAS_MISSING, MR.ROLLING_OUT,
    MR.SCALED_TO_ZERO, MR.AT_REST, RR.PENDING, RR.ROUTER_UNREACHABLE, RR.NO_ROUTERS,
}  # fmt: skip
GOOD = {
    MR.ACCEPTED, MR.WEIGHTS_READY, MR.NOT_MANAGED, MR.AVAILABLE, MR.READY,
    RR.ACCEPTED, RR.RESOLVED_REFS, RR.PROGRAMMED, RR.READY,
}  # fmt: skip
REASONS = sorted({str(reason) for reason in (*MR, *RR)} - {str(reason) for reason in GOOD})


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_false_condition(reason: str) -> None:
    expected = "Progressing" if reason in WAITING else "Degraded"
    found = resource(("Accepted", "True", "Accepted", ""), ("Ready", "False", reason, "because"))
    assert health(found) == (expected, f"{reason}: because")


STATUSES = sorted((ROOT / "tests" / "golden" / "status").glob("*.out.yaml"))


@pytest.mark.parametrize("path", STATUSES, ids=lambda path: path.name.removesuffix(".out.yaml"))
def test_statuses_as_the_operator_writes_them(path: Path) -> None:
    """Ready=True is Healthy, Stalled is Degraded, and every verdict comes with the operator's words."""
    for document in yaml.safe_load_all(path.read_text()):
        if not isinstance(document, dict) or "conditions" not in document:
            continue  # the events that go with it
        status = document
        conditions = {c["type"]: c for c in status["conditions"]}
        generation = status.get("observedGeneration", 0)
        verdict, message = health({"metadata": {"generation": generation}, "status": status})
        if conditions.get("Stalled", {}).get("status") == "True":
            assert verdict == "Degraded"
        elif conditions.get("Ready", {}).get("status") == "True":
            assert verdict == "Healthy"
        else:
            assert verdict in ("Progressing", "Degraded")
            assert message
