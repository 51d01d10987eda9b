"""Desired as a subset of live: what counts as a difference, and what the API server or others may add."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.kube.diff import desired_hash, differences


def pod(**container: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "engine", **container}]}}}}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("equal", {"spec": {"replicas": 1}}, {"spec": {"replicas": 1}}, []),
    ("defaults of the API server", {"spec": {"a": 1}}, {"spec": {"a": 1, "b": 2}, "status": {}}, []),
    ("another value", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, ["spec.replicas"]),
    ("a missing value", {"spec": {"replicas": 1}}, {"spec": {}}, ["spec.replicas"]),
    ("a zero that the API server leaves out", {"spec": {"replicas": 0}}, {"spec": {}}, []),
    ("a false that it leaves out", {"spec": {"hostNetwork": False}}, {"spec": {}}, []),
    ("an empty text that it leaves out", {"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}, []),
    ("a zero against another number", {"spec": {"replicas": 0}}, {"spec": {"replicas": 1}}, ["spec.replicas"]),
    ("false is not zero", {"spec": {"x": False}}, {"spec": {"x": 0}}, ["spec.x"]),
    ("null asks for nothing", {"spec": {"x": None}}, {"spec": {"x": 5}}, []),
    ("dropped empty map and list", {"metadata": {"annotations": {}}, "spec": {"l": []}}, {"metadata": {}, "spec": {}}, []),
    ("empty map against a full one", {"spec": {"podSelector": {}}}, {"spec": {"podSelector": {"a": "b"}}}, []),
    ("a map against a string", {"spec": {"a": {"b": 1}}}, {"spec": {"a": "b"}}, ["spec.a"]),
    ("an injected sidecar", pod(image="a"), pod(image="a") | {
        "spec": {"template": {"spec": {"containers": [{"name": "proxy"}, {"name": "engine", "image": "a"}]}}}}, []),
    ("a changed image", pod(image="a"), pod(image="b"), ["spec.template.spec.containers[engine].image"]),
    ("env by name, in any order", pod(env=[{"name": "A", "value": "1"}]),
     pod(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]), []),
    ("a lost env", pod(env=[{"name": "A", "value": "1"}]), pod(env=[{"name": "B", "value": "2"}]),
     ["spec.template.spec.containers[engine].env[A].name", "spec.template.spec.containers[engine].env[A].value"]),
    ("arguments are ordered", pod(args=["-c", "1"]), pod(args=["1", "-c"]),
     ["spec.template.spec.containers[engine].args[0]", "spec.template.spec.containers[engine].args[1]"]),
    ("one argument more", pod(args=["-c"]), pod(args=["-c", "1"]), ["spec.template.spec.containers[engine].args"]),
    ("ports with the default protocol", pod(ports=[{"containerPort": 80}]),
     pod(ports=[{"containerPort": 80, "protocol": "TCP"}]), []),
    ("a Service's ports", {"kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": "http"}]}},
     {"kind": "Service", "spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}},
     ["spec.ports[80/TCP].targetPort"]),
    ("quantities by value", pod(resources={"limits": {"cpu": "2000m", "memory": "1Gi"}}),
     pod(resources={"limits": {"cpu": "2", "memory": "1024Mi"}}), []),
    ("another quantity", pod(resources={"limits": {"cpu": "2"}}), pod(resources={"limits": {"cpu": "2100m"}}),
     ["spec.template.spec.containers[engine].resources.limits.cpu"]),
    ("text is no quantity elsewhere", {"spec": {"version": "1000m"}}, {"spec": {"version": "1"}}, ["spec.version"]),
    ("NetworkPolicy rules are whole", {"kind": "NetworkPolicy", "spec": {"ingress": [{"ports": [{"port": 80}]}]}},
     {"kind": "NetworkPolicy", "spec": {"ingress": [{"ports": [{"port": 80}, {"port": 22}]}]}}, ["spec.ingress[0].ports"]),
    ("one NetworkPolicy rule more", {"kind": "NetworkPolicy", "spec": {"ingress": [{}]}},
     {"kind": "NetworkPolicy", "spec": {"ingress": [{}, {}]}}, ["spec.ingress"]),
    ("a second owner", {"kind": "NetworkPolicy", "metadata": {"ownerReferences": [{"uid": "u", "name": "a"}]}},
     {"kind": "NetworkPolicy", "metadata": {"ownerReferences": [{"uid": "x"}, {"uid": "u", "name": "a"}]}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("desired", "live", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_differences(desired: dict[str, Any], live: dict[str, Any], expected: list[str]) -> None:
    assert list(differences(desired, live)) == expected


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "env", "ports", "name", "limits"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["spec", "data", "metadata"]), trees, max_size=3))
@example({"spec": {"env": [{"a": False}, {}]}})
@example({"spec": {"env": [{"name": []}]}})
def test_anything_is_a_subset_of_itself(tree: dict[str, Any]) -> None:
    assert differences(tree, tree) == {}


@given(
    st.dictionaries(st.sampled_from(["spec", "data"]), trees, min_size=1),
    st.dictionaries(st.sampled_from(["spec", "data", "x"]), trees, min_size=1),
)
def test_never_raises(desired: dict[str, Any], live: dict[str, Any]) -> None:
    assert isinstance(differences(desired, live), dict)


def test_the_hash_tells_of_removed_fields_and_ignores_order() -> None:
    assert desired_hash({"a": 1, "b": 2}) == desired_hash({"b": 2, "a": 1})
    assert desired_hash({"a": 1, "b": 2}) != desired_hash({"a": 1})
