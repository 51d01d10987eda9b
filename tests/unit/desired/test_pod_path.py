"""Paths into a pod: what each names, what is left without it, and what a wrong one is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from genset.api.pod_template import PodTemplate
from genset.desired.pod_path import is_there, there_instead, without
from genset.desired.pod_rules import faults
from genset.desired.pod_template import merge

SPEC: dict[str, Any] = {
    "securityContext": {"runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "containers": [
        {
            "name": "engine",
            "args": ["-a"],
            "env": [{"name": "HOME", "value": "/tmp"}, {"name": "EMPTY", "value": ""}],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "volumeMounts": [{"mountPath": "/models", "name": "weights"}, {"mountPath": "/tmp", "name": "tmp"}],
            "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}},
            "stdin": False,
        }
    ],
}

THERE = [
    ("spec.securityContext.runAsUser", ["securityContext", "runAsUser"]),
    ("spec.securityContext", ["securityContext"]),
    ("spec.tolerations[nvidia.com/gpu]", ["tolerations"]),  # the last one takes the list along
    ("spec.containers[engine].resources.limits[nvidia.com/gpu]", ["containers", 0, "resources", "limits", "nvidia.com/gpu"]),
    ("spec.containers[engine].resources.limits.cpu", ["containers", 0, "resources", "limits", "cpu"]),
    ("spec.containers[engine].env[EMPTY]", ["containers", 0, "env", 1]),
    ("spec.containers[engine].env[EMPTY].value", ["containers", 0, "env", 1, "value"]),
    ("spec.containers[engine].volumeMounts[/models]", ["containers", 0, "volumeMounts", 0]),
    ("spec.containers[engine].ports[8080].name", ["containers", 0, "ports", 0, "name"]),
    ("spec.containers[engine].args", ["containers", 0, "args"]),
    ("spec.containers[engine].stdin", ["containers", 0, "stdin"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "place"), THERE, ids=[path for path, _ in THERE])
def test_what_a_path_names_goes_and_nothing_else(path: str, place: list[Any]) -> None:
    before, wanted = copy.deepcopy(SPEC), copy.deepcopy(SPEC)
    here: Any = wanted
    for part in place[:-1]:
        here = here[part]
    del here[place[-1]]
    assert is_there(SPEC, path)
    assert without(SPEC, path) == wanted
    assert before == SPEC, "what was given must not be changed"


NOT_THERE = [
    ("spec.securityContext.runAsUsr", "spec.securityContext", ["runAsUser", "seccompProfile"]),
    ("spec.hostNetwork", "spec", ["containers", "securityContext", "tolerations"]),
    ("spec.containers[motor].image", "spec.containers", ["engine"]),
    ("spec.containers.engine", "spec.containers", ["engine"]),
    ("spec.containers[0]", "spec.containers", ["engine"]),
    ("spec.containers[engine].args[-a]", "spec.containers[engine].args", []),
    ("spec.containers[engine].args.x", "spec.containers[engine].args", []),
    ("spec.securityContext.runAsUser.x", "spec.securityContext.runAsUser", []),
    ("spec.containers[engine].env[home]", "spec.containers[engine].env", ["EMPTY", "HOME"]),
    ("spec.tolerations[amd.com/gpu]", "spec.tolerations", ["nvidia.com/gpu"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "known", "names"), NOT_THERE, ids=[path for path, _, _ in NOT_THERE])
def test_a_path_that_names_nothing_is_told_what_there_is(path: str, known: str, names: list[str]) -> None:
    assert without(SPEC, path) is None
    found = there_instead(SPEC, path)
    assert found == (known, names)


def test_a_wrong_path_says_where_it_stands_and_what_to_do() -> None:
    own = {"metadata": {"labels": {}}, "spec": SPEC}
    patch = PodTemplate.model_validate({"remove": ["spec.securityContext", "spec.containers[engine].env[home]"]})
    (fault,) = faults(own, patch, "spec.router.podTemplate", full=True)
    assert fault.field == "spec.router.podTemplate.remove[1]"
    assert fault.message == (
        "spec.router.podTemplate.remove[1]: spec.containers[engine].env[home] names nothing that genset sets in these pods "
        "(spec.containers[engine].env has EMPTY, HOME): correct the path, or take it out"
    )


def test_what_is_removed_may_be_said_anew() -> None:
    own = {"metadata": {"labels": {}}, "spec": SPEC}
    patch = {
        "remove": ["spec.containers[engine].resources", "spec.securityContext", "spec.securityContext.runAsUser"],
        "spec": {"containers": [{"name": "engine", "resources": {"limits": {"cpu": "1"}}}]},
    }
    merged = merge(own, PodTemplate.model_validate(patch))["spec"]
    assert merged["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert "securityContext" not in merged
