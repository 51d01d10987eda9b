"""Every golden object meets a real API server: it is accepted, fits the *restricted* Pod Security Standard, and reads
back as it was wanted. A value that the server spells differently would be applied again and again, for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genset.desired import CHILD_KINDS
from genset.kinds import LEADER_WORKER_SET, kind_of
from genset.kube.diff import differences
from testbed.cluster.controlplane import ControlPlane
from tests.golden import cases
from tests.golden.desired.test_golden import objects

HERE = Path(__file__).parent
GROUPS = HERE.parents[1] / "data" / "leaderworkersets.json"  # of sigs.k8s.io/lws
NOT_RESTRICTED = {"host-path"}  # hostPath volumes are outside the standard; the operator's opt-in says so
PRIVATE = "genset-golden"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("golden"), audit_log=False) as started:
        started.kubectl("apply", "--server-side", "-f", "-", stdin=GROUPS.read_text())
        deadline = time.monotonic() + 30
        while started.api.request("GET", LEADER_WORKER_SET.path())[0] != 200:
            assert time.monotonic() < deadline, "the API server does not serve LeaderWorkerSets"
            time.sleep(0.1)
        yield started


@pytest.mark.parametrize("case", cases.inputs(HERE))
def test_objects_are_accepted_and_read_back_as_wanted(plane: ControlPlane, case: str) -> None:
    namespace = f"golden-{case}"
    document = {"metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    send(plane, "POST", "/api/v1/namespaces", document, "application/json")
    for wanted in objects(cases.load(HERE, case)):
        assert kind_of(wanted) in CHILD_KINDS
        wanted["metadata"]["namespace"] = namespace
        path = kind_of(wanted).path(namespace, wanted["metadata"]["name"])
        live = send(plane, "PATCH", f"{path}?fieldManager={PRIVATE}&force=true&fieldValidation=Strict", wanted)
        assert differences(wanted, live) == {}
        assert exact(wanted, live) == [], f"{case}: {wanted['kind']} reads back differently"
        if case in NOT_RESTRICTED:
            continue
        for template in pod_templates(wanted):
            pod = {**template, "metadata": {**template["metadata"], "name": "one"}}
            pod["spec"] = {key: value for key, value in pod["spec"].items() if key != "runtimeClassName"}
            send(plane, "POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod, "application/json")


def pod_templates(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Of Deployments and of groups of pods."""
    if wanted["kind"] == "LeaderWorkerSet":
        groups = wanted["spec"]["leaderWorkerTemplate"]
        return [groups["leaderTemplate"], groups["workerTemplate"]]
    return [wanted["spec"]["template"]] if wanted["kind"] == "Deployment" else []


def send(plane: ControlPlane, method: str, path: str, body: Any, kind: str = "application/apply-patch+yaml") -> Any:
    status, answer = plane.api.request(method, path, json.dumps(body).encode(), {"Content-Type": kind})
    parsed = json.loads(answer)
    assert status in (200, 201), f"{method} {path}: {status} {parsed.get('message')}"
    return parsed


def exact(wanted: Any, live: Any, path: str = "") -> list[str]:
    """Where the server's spelling differs: stricter than `differences`, which compares quantities by value."""
    if isinstance(wanted, dict):
        if not wanted and live is None:
            return []
        if not isinstance(live, dict):
            return [path]
        return [where for key, value in wanted.items() for where in exact(value, live.get(key), f"{path}.{key}")]
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(wanted) != len(live):
            return [path]
        pairs = enumerate(zip(wanted, live, strict=True))
        return [where for index, (a, b) in pairs for where in exact(a, b, f"{path}[{index}]")]
    return [] if type(wanted) is type(live) and wanted == live else [f"{path}: {wanted!r} is read back as {live!r}"]
