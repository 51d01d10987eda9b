"""manifests/: in step with the chart and the types, and taken by a real API server."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset.api.base import ApiModel
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import ROOT

MANIFESTS = ROOT / "manifests"
SAMPLES = sorted(path for path in (MANIFESTS / "samples").rglob("*.yaml") if path.parent.name != "nodes")
TYPES: dict[str, type[ApiModel]] = {"ModelDeployment": ModelDeployment, "RoutePolicy": RoutePolicy}
PLACEHOLDERS = {
    "${CLOUD_BASE_URL}": "https://10.0.0.9:8443/v1",
    "${CLOUD_API_KEY}": "sk-1",
    "${CLOUD_CA_BASE64}": "QQ==",
    "${WEIGHTS_URL}": "http://10.0.0.9:8000/counting.gguf",
    "${WEIGHTS_SHA256}": "0" * 64,
}


def load(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return [item for item in yaml.safe_load_all(text) if item]


def test_install_yaml_is_what_the_chart_renders() -> None:
    spec = importlib.util.spec_from_file_location("manifests_render", MANIFESTS / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (MANIFESTS / "install.yaml").read_text() == module.render(), "it is behind the chart: run make manifests"


def test_install_yaml_installs(plane: ControlPlane) -> None:
    answer = plane.kubectl("apply", "--server-side", "--validate=strict", "-f", str(MANIFESTS / "install.yaml"))
    assert "deployment.apps/genset-operator serverside-applied" in answer
    assert "helm" not in (MANIFESTS / "install.yaml").read_text().replace("Helm", "").partition("---")[2]
    again = plane.kubectl("diff", "--server-side", "-f", str(MANIFESTS / "install.yaml"))
    assert again == "", "a second kubectl apply would change something"


@pytest.fixture(scope="module")
def with_routes(plane: ControlPlane) -> ControlPlane:
    """The API server knows HTTPRoutes, too (sigs.k8s.io/gateway-api 1.4.1, without descriptions)."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "tests" / "data" / "httproutes.json"))
    plane.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=30s")
    return plane


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(MANIFESTS / "samples")))
def test_samples_are_taken(with_routes: ControlPlane, path: Path) -> None:
    documents = load(path)
    assert documents
    for document in documents:
        if document["kind"] in TYPES:
            TYPES[document["kind"]].model_validate(document)
        text = yaml.safe_dump(document)
        with_routes.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


def test_samples_name_what_other_samples_define() -> None:
    documents = [d for path in SAMPLES if path.parent.name == "samples" for d in load(path)]
    models = {d["metadata"]["name"] for d in documents if d["kind"] == "ModelDeployment"}
    secrets = {(d["metadata"]["name"], k) for d in documents if d["kind"] == "Secret" for k in d["stringData"]}
    for policy in (d for d in documents if d["kind"] == "RoutePolicy"):
        for backend in policy["spec"]["backends"]:
            if "deployment" in backend:
                assert backend["deployment"]["name"] in models
            elif reference := backend["cloud"].get("credentialsSecretRef"):
                assert (reference["name"], reference["key"]) in secrets


def test_readme_of_argocd_prints_a_patch_that_the_api_server_takes(plane: ControlPlane) -> None:
    """The command in the page, run as written."""
    page = (MANIFESTS / "argocd" / "README.md").read_text()
    script = page.partition("<<'PY'\n")[2].partition("\nPY")[0]
    patch = subprocess.run(["python3", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    plane.kubectl("create", "configmap", "argocd-cm", "-n", "default")
    plane.kubectl("patch", "configmap", "argocd-cm", "-n", "default", "--type", "merge", "-p", patch)
    data = plane.kubectl("get", "configmap", "argocd-cm", "-n", "default", "-o", "jsonpath={.data}")
    assert "resource.customizations.health.genset.dev_RoutePolicy" in data
