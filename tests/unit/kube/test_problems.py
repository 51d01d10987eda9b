"""A person reads which field of the resource to change, in one sentence, whatever the API server has said of a child."""

from __future__ import annotations

from typing import Any

import pytest

from genset.kube.client import ApiError
from genset.kube.problems import conflict, contest, is_left_behind, overruled, refusal, shared

MDEP = {"kind": "ModelDeployment", "metadata": {"name": "house", "uid": "new"}}
POLICY = {"kind": "RoutePolicy", "metadata": {"name": "assistant", "uid": "new"}}
TYPED = "failed to create typed patch object (models/house; apps/v1, Kind=Deployment): "

REFUSALS = [
    (
        "an unknown field of the pod", MDEP, "Deployment",
        ApiError(500, "", TYPED + ".spec.template.spec.nodeSelectors: field not declared in schema"),
        "InvalidSpec", "spec.podTemplate.spec.nodeSelectors: no such field", "spec.podTemplate.spec.nodeSelectors",
    ),
    (
        "one in a container", MDEP, "Deployment",
        ApiError(500, "", TYPED + '.spec.template.spec.containers[name="engine"].envs: field not declared in schema'),
        "InvalidSpec", 'spec.podTemplate.spec.containers[name="engine"].envs: no such field',
        'spec.podTemplate.spec.containers[name="engine"].envs',
    ),
    (
        "a value of another type", MDEP, "Deployment",
        ApiError(500, "", TYPED + ".spec.template.spec.tolerations: expected list, got &{map}"),
        "InvalidSpec", "spec.podTemplate.spec.tolerations: expected list", "spec.podTemplate.spec.tolerations",
    ),
    (
        "several at once", MDEP, "Deployment",
        ApiError(500, "", TYPED + "errors:\n  .spec.template.spec.a: field not declared in schema\n"
                                  "  .spec.template.metadata.b: field not declared in schema"),
        "InvalidSpec", "spec.podTemplate.spec.a: no such field; spec.podTemplate.metadata.b: no such field",
        "spec.podTemplate.spec.a",
    ),
    (
        "a peer that is none", POLICY, "NetworkPolicy",
        ApiError(500, "", "failed to create typed patch object (n/r; networking.k8s.io/v1, Kind=NetworkPolicy): "
                          ".spec.ingress[0].from[0].cidr: field not declared in schema"),
        "InvalidSpec", "spec.router.allowedClients[0].cidr: no such field", "spec.router.allowedClients[0].cidr",
    ),
    (
        "a value that cannot be read", MDEP, "Deployment",
        ApiError(500, "", "failed to convert new object (n/house; apps/v1, Kind=Deployment) to proper version: quantities "
                          "must match the regular expression"),
        "ApplyRejected", "The API server refused Deployment house: failed to convert new object", "",
    ),
    (
        "an invalid value", MDEP, "Deployment",
        ApiError(422, "Invalid", 'Deployment.apps "house" is invalid: spec.template.spec.tolerations[0].effect: '
                                 'Unsupported value: "Never"'),
        "ApplyRejected", 'spec.podTemplate.spec.tolerations[0].effect: Unsupported value: "Never"', "",
    ),
    (
        "a volume that cannot shrink", MDEP, "PersistentVolumeClaim",
        ApiError(422, "Invalid", 'PersistentVolumeClaim "house-weights" is invalid: spec.resources.requests.storage: '
                                 "Forbidden: field can not be less than status.capacity"),
        "ApplyRejected", "spec.cache.size: Forbidden: field can not be less than status.capacity", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "kind", "error", "reason", "words", "field"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
def test_a_refused_child_names_the_field_of_the_resource(
    owner: dict[str, Any], kind: str, error: ApiError, reason: str, words: str, field: str
) -> None:
    problem = refusal({"kind": kind, "metadata": {"name": "house"}}, owner, error)
    assert (problem.reason, problem.field) == (reason, field)
    assert words in problem.message, problem.message
    assert not error.transient


def test_an_internal_error_of_another_kind_is_tried_again() -> None:
    assert ApiError(500, "InternalError", "Internal error occurred: failed calling webhook").transient


def child(**metadata: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "genset", "genset.dev/modeldeployment": "house"}
    marks = {"genset.dev/desired-hash": "abc"}
    return {"kind": "Service", "metadata": {"name": "house", "labels": labels, "annotations": marks, **metadata}}


@pytest.mark.parametrize(
    ("live", "adopted"),
    [
        (child(), True),
        (
            child(ownerReferences=[{"kind": "ModelDeployment", "name": "house", "uid": "old", "controller": True}]),
            False,
        ),
        (child(ownerReferences=[{"kind": "Other", "name": "x", "uid": "x"}]), False),
        (child(deletionTimestamp="2026-01-01T00:00:00Z"), False),
        (child(annotations={}), False),
        (child(labels={}), False),
        (child(labels={"app.kubernetes.io/managed-by": "genset", "genset.dev/modeldeployment": "other"}), False),
        (child(labels={"app.kubernetes.io/managed-by": "Helm", "genset.dev/modeldeployment": "house"}), False),
    ],
)
def test_what_a_deleted_resource_left_behind(live: dict[str, Any], adopted: bool) -> None:
    assert is_left_behind(live, child()) is adopted


def test_an_object_that_is_somebodys_says_whose() -> None:
    other = child(ownerReferences=[{"kind": "RoutePolicy", "name": "x", "uid": "x", "controller": True}])
    assert "belongs to RoutePolicy x" in conflict(child(), other, MDEP).message
    assert "was not made by genset" in conflict(child(), child(labels={}), MDEP).message


def test_two_operators_say_the_same_of_each_other() -> None:
    told = shared(child(), "a/genset", "b/genset").message
    assert told == shared(child(), "b/genset", "a/genset").message
    assert "a/genset and b/genset" in told and "watchNamespaces" in told


def test_anybody_else_is_named_by_the_api_servers_book() -> None:
    managed = [
        {"manager": "genset", "time": "2026-01-03T00:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z"},
        {"manager": "kube-controller-manager", "subresource": "status", "time": "2026-01-04T00:00:00Z"},
    ]
    live = child(managedFields=managed)
    message = contest(child(), live, ["spec.replicas"]).message
    assert "kubectl-edit" in message and "spec.replicas" in message
    owned = child(ownerReferences=[{"kind": "ModelDeployment", "name": "house", "uid": "1", "controller": True}])
    assert "aim the autoscaler at ModelDeployment house" in contest(owned, live, ["spec.replicas"]).message


def test_a_field_that_becomes_something_else_is_told_with_the_resources_name_of_it() -> None:
    note = overruled({"kind": "Deployment", "metadata": {"name": "house"}}, MDEP, ["spec.template.spec.hostNetwork"])
    assert "spec.podTemplate.spec.hostNetwork" in note and "Deployment house" in note
