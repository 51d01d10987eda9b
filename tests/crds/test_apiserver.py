"""The CRDs on a real API server: what it accepts, what it refuses, in which words, and what kubectl shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genset import names
from genset.cli.crds import render
from tests.crds import cases
from tests.crds.conftest import Server


def as_text(message: str) -> str:
    return " ".join(message.split())


@pytest.mark.parametrize("case", [c for c in cases.CASES if c.old is None], ids=cases.identify)
def test_creation(server: Server, case: cases.Case) -> None:
    status, answer = server.create(case.document())
    if case.accepted:
        assert status == 201, f"a user would read: {answer.get('message')}"
    else:
        assert status in (400, 422), f"the API server took {case.spec}"
        assert case.refused in as_text(answer["message"]), f"a user would read: {answer['message']}"


@pytest.mark.parametrize("case", [c for c in cases.CASES if c.old is not None], ids=cases.identify)
def test_change(server: Server, case: cases.Case) -> None:
    assert case.old is not None
    before = case.document(case.old)
    status, created = server.create(before, dry_run=False)
    assert status == 201, created.get("message")
    try:
        after = case.document()
        after["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
        status, answer = server.update(after)
        if case.accepted:
            assert status == 200, f"a user would read: {answer.get('message')}"
        else:
            assert status == 422, f"the API server took the change to {case.spec}"
            assert case.refused in as_text(answer["message"]), f"a user would read: {answer['message']}"
    finally:
        server.delete(before)


def test_nested_defaults_are_filled_in(server: Server) -> None:
    _, answer = server.create(cases.Case("", cases.MDEP, cases.house(rollout={"drainSeconds": 5})).document())
    assert answer["spec"] == {
        "engine": "llama.cpp",
        "source": {"http": cases.HTTP},
        "context": {"tokens": 4096, "parallel": 4},
        "resources": {"cpu": "2"},
        "rollout": {"drainSeconds": 5, "startupSeconds": 900},
    }


def test_pod_template_keeps_fields_that_the_types_do_not_know(server: Server) -> None:
    spec = {"affinity": {"nodeAffinity": {}}, "containers": [{"name": "engine", "env": [{"name": "A", "value": "1"}]}]}
    _, answer = server.create(cases.Case("", cases.MDEP, cases.house(podTemplate={"spec": spec})).document())
    assert answer["spec"]["podTemplate"]["spec"] == spec


def established(server: Server, plural: str) -> dict[str, str]:
    found = json.loads(server.plane.kubectl("get", "crd", f"{plural}.{names.GROUP}", "-o", "json"))
    return {item["type"]: item["status"] for item in found["status"]["conditions"]}


@pytest.mark.parametrize("plural", names.PLURALS.values())
def test_definition_is_structural_and_established(server: Server, plural: str) -> None:
    conditions = established(server, plural)
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


def status_of(kind: str) -> dict[str, Any]:
    condition = {"status": "True", "reason": "Ready", "message": "Works", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    types = ["Ready"] if kind == cases.MDEP else ["Programmed", "Ready"]
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": [{"type": item, "observedGeneration": 1, **condition} for item in types],
        "url": "http://house.default.svc/v1",
        "readyReplicas": 2,
        "replicas": 2,
        "selector": "a=b",
    }
    if kind == cases.MDEP:
        return {**status, "model": "qwen", "desiredReplicas": 3}
    since = {"since": "2026-11-21T09:00:00Z"}
    refused = {"scope": "Backend", "backend": "frontier", "reason": "BackendAuthFailed", **since}
    return {
        **status,
        "dataZones": "house,eu",
        "outages": [{"scope": "Cloud", "reason": "EgressDown", **since}, refused],
    }


@pytest.fixture
def existing(server: Server) -> Any:
    """One resource of each kind with a status, as the operator writes it."""
    documents = [
        cases.Case("", cases.MDEP, cases.house(replicas=3), name="house").document(),
        cases.Case("", cases.RP, cases.policy(), name="assistant").document(),
    ]
    for document in documents:
        status, answer = server.create(document, dry_run=False)
        assert status == 201, answer.get("message")
        patch = json.dumps({"status": status_of(document["kind"])})
        kind, name = document["kind"].lower(), document["metadata"]["name"]
        server.plane.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)
    yield
    for document in documents:
        server.delete(document)


def table(text: str) -> tuple[list[str], list[str]]:
    header, row = text.strip().splitlines()
    return header.split(), row.split()


@pytest.mark.usefixtures("existing")
def test_what_kubectl_get_shows(server: Server) -> None:
    header, row = table(server.plane.kubectl("get", "mdep"))
    assert header == ["NAME", "MODEL", "ENGINE", "WANTED", "UP", "READY", "REASON", "AGE"]
    assert row[:-1] == ["house", "qwen", "llama.cpp", "3", "2", "True", "Ready"]
    header, row = table(server.plane.kubectl("get", "rp"))
    assert header == ["NAME", "WANTED", "UP", "PROGRAMMED", "READY", "REASON", "ZONES", "OUTAGE", "URL", "AGE"]
    ready = ["True", "True", "Ready"]
    assert row[:-1] == ["assistant", "2", "2", *ready, "house,eu", "EgressDown", "http://house.default.svc/v1"]
    assert "Works" in server.plane.kubectl("get", "mdep", "-o", "wide")
    assert {"house", "assistant"} <= {
        name.rsplit("/", 1)[-1] for name in server.plane.kubectl("get", "genset", "-o", "name").split()
    }


@pytest.mark.usefixtures("existing")
def test_scale(server: Server) -> None:
    server.plane.kubectl("scale", "mdep/house", "--replicas=5")
    path = f"/apis/{names.API_VERSION}/namespaces/default/modeldeployments/house"
    scale, resource = server.plane.api.get(f"{path}/scale"), server.plane.api.get(path)
    assert scale is not None and resource is not None
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 2, "selector": "a=b"}
    assert resource["spec"]["replicas"] == 5
    assert resource["status"]["readyReplicas"] == 2, "a change of the spec must not touch the status"


@pytest.mark.usefixtures("existing")
def test_scale_of_routers(server: Server) -> None:
    server.plane.kubectl("scale", "rp/assistant", "--replicas=3")
    path = f"/apis/{names.API_VERSION}/namespaces/default/routepolicies/assistant"
    scale, resource = server.plane.api.get(f"{path}/scale"), server.plane.api.get(path)
    assert scale is not None and resource is not None
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "a=b"}, "an autoscaler finds the pods by it"
    assert resource["spec"]["router"]["replicas"] == 3


@pytest.fixture
def scalable(server: Server) -> Iterator[Callable[..., str]]:
    """Makes a ModelDeployment of a spec; its name comes back."""
    made = []

    def make(name: str, **spec: Any) -> str:
        document = cases.Case("", cases.MDEP, cases.house(**spec), name=name).document()
        status, answer = server.create(document, dry_run=False)
        assert status == 201, answer.get("message")
        made.append(document)
        return name

    yield make
    for document in made:
        server.delete(document)


def test_kubectl_scale_without_replicas(server: Server, scalable: Callable[..., str]) -> None:
    name = scalable("unsaid")
    server.plane.kubectl("scale", f"mdep/{name}", "--replicas=2")
    assert server.plane.kubectl("get", f"mdep/{name}", "-o", "jsonpath={.spec.replicas}") == "2"


def test_kubectl_scale_is_refused_where_demand_decides(server: Server, scalable: Callable[..., str]) -> None:
    name = scalable("by-demand", autoscaling={"max": 2})
    with pytest.raises(Exception, match="replicas and autoscaling exclude each other: remove one"):
        server.plane.kubectl("scale", f"mdep/{name}", "--replicas=1")
    assert server.plane.kubectl("get", f"mdep/{name}", "-o", "jsonpath={.spec.replicas}") == ""
    server.plane.kubectl("patch", f"mdep/{name}", "--type=merge", "-p", '{"spec": {"autoscaling": {"max": 3}}}')


def test_explain_describes_fields(server: Server) -> None:
    assert "SHA-256 of the file" in server.plane.kubectl("explain", "mdep.spec.source.http")
    assert "the first that matches a request wins" in as_text(server.plane.kubectl("explain", "rp.spec.routes"))


def test_printed_definitions_apply_again_without_a_change(server: Server) -> None:
    from genset.api.crd import definitions

    text = "---\n".join(render(definition) for definition in definitions().values())
    assert "serverside-applied" in server.plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    assert server.plane.kubectl("diff", "--server-side", "-f", "-", stdin=text) == ""
