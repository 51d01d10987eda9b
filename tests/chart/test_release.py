"""A release on a real API server through its life: installed, upgraded, removed, installed again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import CHART, NAMESPACE, helm
from tests.crds import cases


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server that has never seen genset. No controllers: nothing starts, and nothing is waited for."""
    with ControlPlane(tmp_path_factory.mktemp("release"), audit_log=False) as running:
        yield running


def release(plane: ControlPlane, *arguments: str) -> None:
    helm(*arguments, "--kubeconfig", str(plane.kubeconfig), "--namespace", NAMESPACE)


def resources(plane: ControlPlane) -> dict[str, str]:
    """uid by name of every ModelDeployment and RoutePolicy."""
    items = json.loads(plane.kubectl("get", "mdep,rp", "-A", "-o", "json"))["items"]
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}


def operators(plane: ControlPlane) -> list[int]:
    items = json.loads(plane.kubectl("get", "deployments", "-n", NAMESPACE, "-o", "json"))["items"]
    return [item["spec"]["replicas"] for item in items]


def test_models_and_routers_survive_upgrade_removal_and_return(fresh: ControlPlane) -> None:
    install = ("install", "genset", str(CHART), "--create-namespace")
    release(fresh, *install)
    documents = [
        cases.Case("", cases.MDEP, cases.house(), name="house").document(),
        cases.Case("", cases.RP, cases.policy(), name="assistant").document(),
    ]
    fresh.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    fresh.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))
    before = resources(fresh)
    assert set(before) == {"house", "assistant"}
    release(fresh, "upgrade", "genset", str(CHART), "--set", "replicas=3")
    assert (operators(fresh), resources(fresh)) == ([3], before)
    release(fresh, "uninstall", "genset")
    assert (operators(fresh), resources(fresh)) == ([], before)
    release(fresh, *install)
    assert (operators(fresh), resources(fresh)) == ([2], before)


def test_a_release_takes_over_what_kubectl_installed(fresh: ControlPlane) -> None:
    fresh.kubectl("apply", "--server-side", "-f", str(CHART.parents[1] / "manifests" / "install.yaml"))
    release(fresh, "install", "genset", str(CHART), "--take-ownership", "--force-conflicts", "--set", "replicas=1")
    assert operators(fresh) == [1]
