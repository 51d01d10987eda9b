"""Helm, and a real API server to show rendered objects to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset.cli.operator import command as operator
from testbed.cluster import tools
from testbed.cluster.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "genset"
NAMESPACE = "genset-system"
Object = dict[str, Any]


class HelmRefused(Exception):
    """What Helm said on its standard error."""


def helm(*arguments: str) -> str:
    done = subprocess.run([str(tools.ensure("helm")["helm"]), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise HelmRefused(done.stderr)
    return done.stdout


def render(values: Object | None = None, *, release: str = "genset") -> list[Object]:
    """The chart's objects with these values, as `helm install` would apply them."""
    done = subprocess.run(
        [str(tools.ensure("helm")["helm"]), "template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise HelmRefused(done.stderr)
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    found = [o for o in objects if o["kind"] == kind and (not name or o["metadata"]["name"] == name)]
    assert len(found) == 1, (
        f"{len(found)} objects {kind} {name}: {[(o['kind'], o['metadata']['name']) for o in objects]}"
    )
    return found[0]


def container(objects: list[Object]) -> Object:
    (found,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def options(objects: list[Object]) -> dict[str, Any]:
    """What the operator's own command line makes of the pod's arguments; an unknown option fails as the pod would."""
    verb, *arguments = container(objects)["args"]
    assert verb == "operator"
    context = operator.make_context("operator", arguments)
    return dict(context.params)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with our CRDs and namespaces under the restricted Pod Security Standard."""
    with ControlPlane(tmp_path_factory.mktemp("chart"), audit_log=False) as running:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        for name in (NAMESPACE, "models", "team-a"):
            running.kubectl("create", "namespace", name)
            running.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield running
