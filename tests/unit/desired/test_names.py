"""Names of children: valid wherever Kubernetes is strict, and never the same for two objects of genset."""

from __future__ import annotations

import re
import string
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from genset import desired
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings

DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")  # Services, k8s.io/apimachinery pkg/util/validation
DNS_1123 = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
SETTINGS = Settings(image="genset:test")
NAMES = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(string.ascii_lowercase),
    st.text("ab-", max_size=50),
    st.sampled_from("ab1"),
)


def model(name: str) -> list[dict[str, Any]]:
    spec = {"source": {"huggingFace": {"repo": "a/b"}}, "cache": {"size": "1Gi"}}
    resource = ModelDeployment.model_validate({"metadata": {"name": name, "uid": "m"}, "spec": spec})
    return desired.model_deployment(resource, ModelDeploymentContext(SETTINGS))


def policy(name: str) -> list[dict[str, Any]]:
    spec = {
        "backends": [{"name": "a", "deployment": {"name": "x"}}],
        "routes": [{"name": "r", "tiers": [{"backends": [{"name": "a"}]}]}],
    }
    resource = RoutePolicy.model_validate({"metadata": {"name": name, "uid": "p"}, "spec": spec})
    return desired.route_policy(resource, RoutePolicyContext(SETTINGS))


def allowed(name: str) -> bool:
    """What the rules of the CRD let through for a ModelDeployment."""
    return not name.endswith(("-router", "-endpoints"))


@given(NAMES)
def test_names_and_labels_are_valid(name: str) -> None:
    assume(allowed(name))
    for child in [*model(name), *policy(name)]:
        length = 63 if child["kind"] == "Service" else 253
        assert len(child["metadata"]["name"]) <= length
        valid = DNS_1123 if child["kind"] == "NetworkPolicy" else DNS_1035
        assert valid.match(child["metadata"]["name"])
        assert all(len(value) <= 63 for value in child["metadata"]["labels"].values())


@given(st.sampled_from(["x", "x-router", "x-router-config", "x-weights", "x-endpoints", "y"]), st.booleans())
def test_two_resources_never_want_the_same_object(other: str, is_policy: bool) -> None:
    assume(is_policy or allowed(other))
    mine = {(c["kind"], c["metadata"]["name"]) for c in [*model("x"), *policy("x")]}
    theirs = {(c["kind"], c["metadata"]["name"]) for c in (policy(other) if is_policy else model(other))}
    if other != "x":
        assert not mine & theirs


def test_every_child_belongs_to_its_resource() -> None:
    for child, kind, uid in [(c, "ModelDeployment", "m") for c in model("x")] + [
        (c, "RoutePolicy", "p") for c in policy("x")
    ]:
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == (kind, "x", uid)
        assert owner["controller"] and owner["blockOwnerDeletion"]
        assert child["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "genset"


def test_selectors_are_part_of_the_pods_labels() -> None:
    for child in [*model("x"), *policy("x")]:
        if child["kind"] == "Deployment":
            labels = child["spec"]["template"]["metadata"]["labels"]
            assert child["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert metadata.engine_selector("x") != metadata.router_selector("x")


def test_whatever_selects_pods_selects_those_that_are_made() -> None:
    """azrtydxb/Fastllm-proxy#16: a budget that selected no pod kept every node from being drained."""
    for children in (model("x"), policy("x")):
        made = [
            child["spec"]["template"]["metadata"]["labels"]
            for child in children
            if child["kind"] in ("Deployment", "Job")
        ]
        for child in children:
            spec = child.get("spec") or {}
            wanted = {
                "Service": spec.get("selector"),
                "NetworkPolicy": (spec.get("podSelector") or {}).get("matchLabels"),
                "PodDisruptionBudget": (spec.get("selector") or {}).get("matchLabels"),
            }.get(child["kind"], {})
            assert wanted is not None and any(wanted.items() <= labels.items() for labels in made), child["metadata"][
                "name"
            ]
