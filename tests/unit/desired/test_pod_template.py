"""The podTemplate escape hatch: what a merge keeps, changes and never breaks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.api.pod_template import PodTemplate
from genset.desired.pod_template import merge

BASE: dict[str, Any] = {
    "metadata": {"labels": {"own": "genset"}, "annotations": {"hash": "1"}},
    "spec": {
        "containers": [
            {
                "name": "engine",
                "image": "engine:1",
                "args": ["-a", "-b"],
                "env": [{"name": "HOME", "value": "/tmp"}, {"name": "X", "value": "1"}],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "volumeMounts": [{"mountPath": "/tmp", "name": "tmp"}],
                "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
        "terminationGracePeriodSeconds": 80,
    },
}


def merged(spec: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(BASE)
    out = merge(BASE, PodTemplate(spec=spec))
    assert before == BASE, "merging must not change what it was given"
    result: dict[str, Any] = out["spec"]
    return result


def engine(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in spec["containers"] if c["name"] == "engine")
    return found


def test_without_a_template_nothing_changes() -> None:
    assert merge(BASE, None) == BASE
    assert merge(BASE, PodTemplate()) == BASE


def test_maps_are_merged() -> None:
    assert merged({"securityContext": {"fsGroup": 1}})["securityContext"] == {"runAsUser": 65532, "fsGroup": 1}


def test_null_removes_a_field() -> None:
    assert "terminationGracePeriodSeconds" not in merged({"terminationGracePeriodSeconds": None})


@pytest.mark.parametrize(
    ("field", "patch", "result"),
    [
        ("env", [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}],
         [{"name": "HOME", "value": "/tmp"}, {"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]),
        ("env", [{"name": "X", "$patch": "delete"}], [{"name": "HOME", "value": "/tmp"}]),
        ("env", [{"name": "X", "value": None, "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
         [{"name": "HOME", "value": "/tmp"}, {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]),
        ("args", ["-c"], ["-c"]),
        ("volumeMounts", [{"mountPath": "/tmp", "name": "big"}], [{"mountPath": "/tmp", "name": "big"}]),
        ("ports", [{"containerPort": 9000}], [{"containerPort": 8080, "name": "http"}, {"containerPort": 9000}]),
        ("resources", {"limits": {"cpu": "4000m", "hugepages-2Mi": "0.5Gi"}},
         {"limits": {"cpu": "4", "memory": "4Gi", "hugepages-2Mi": "512Mi"}}),
        ("resources", {"$patch": "replace", "limits": {"cpu": 1}}, {"limits": {"cpu": "1"}}),
    ],
)  # fmt: skip
def test_a_container_is_merged_by_the_keys_of_kubernetes(field: str, patch: Any, result: Any) -> None:
    assert engine(merged({"containers": [{"name": "engine", field: patch}]}))[field] == result


def test_a_sidecar_and_its_volume_are_added() -> None:
    spec = merged({"containers": [{"name": "side", "image": "side:1"}], "volumes": [{"name": "v", "emptyDir": {}}]})
    assert [c["name"] for c in spec["containers"]] == ["engine", "side"]
    assert [v["name"] for v in spec["volumes"]] == ["tmp", "v"]


def test_tolerations_are_added_so_that_the_accelerators_stays() -> None:
    spec = merged({"tolerations": [{"key": "team", "operator": "Exists"}, {"key": "gpu", "operator": "Exists"}]})
    assert [t["key"] for t in spec["tolerations"]] == ["gpu", "team"]


def test_two_of_one_key_stay_two() -> None:
    hard, soft = (
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when} for when in ("DoNotSchedule", "ScheduleAnyway")
    )
    assert merged({"topologySpreadConstraints": [hard, soft]})["topologySpreadConstraints"] == [hard, soft]
    ports = [{"containerPort": 8080, "protocol": "TCP"}, {"containerPort": 8080, "protocol": "UDP"}]
    assert engine(merged({"containers": [{"name": "engine", "ports": ports}]}))["ports"] == [
        {"containerPort": 8080, "name": "http", "protocol": "TCP"},
        {"containerPort": 8080, "protocol": "UDP"},
    ]


def test_an_amount_that_is_none_is_left_for_the_api_server_to_refuse() -> None:
    spec = merged({"containers": [{"name": "engine", "resources": {"limits": {"cpu": "many"}}}]})
    assert engine(spec)["resources"]["limits"]["cpu"] == "many"


def test_labels_and_annotations_of_genset_win() -> None:
    patch = PodTemplate.model_validate(
        {"metadata": {"labels": {"own": "theirs", "team": "a"}, "annotations": {"hash": "0", "note": "b"}}}
    )
    assert merge(BASE, patch)["metadata"] == {
        "labels": {"own": "genset", "team": "a"},
        "annotations": {"hash": "1", "note": "b"},
    }


_KEYS = st.sampled_from(
    ["containers", "volumes", "env", "ports", "args", "tolerations", "limits", "securityContext", "name", "$patch", "x"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["engine", "tmp", "delete", "replace", "1Gi", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _JSON, max_size=5))
def test_whatever_a_user_writes_is_merged_without_a_crash_and_once_is_enough(patch: dict[str, Any]) -> None:
    once = merge(BASE, PodTemplate(spec=patch))
    assert once["metadata"] == BASE["metadata"], "spec must not reach the labels"
    assert merge(BASE, PodTemplate(spec=patch)) == once, "the same input must give the same pod"
    for field, value in BASE["spec"].items():
        if field not in patch:
            assert once["spec"][field] == value, f"{field} was not named, and changed"


@given(st.dictionaries(st.sampled_from(["own", "team", "x"]), st.text(max_size=3)))
def test_selector_labels_survive_any_labels(labels: dict[str, str]) -> None:
    out = merge(BASE, PodTemplate.model_validate({"metadata": {"labels": labels}}))["metadata"]["labels"]
    assert out == {**labels, "own": "genset"}
