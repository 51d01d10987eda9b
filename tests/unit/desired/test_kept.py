"""What makes an engine's pods new: everything but the operator's own image, its pull policy and its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.desired import workload
from genset.desired.context import ModelDeploymentContext, Object, Settings

HOUSE: dict[str, Any] = {"source": {"http": {"url": "https://host/m.gguf", "sha256": "a" * 64}}}


def made(
    spec: dict[str, Any],
    running: Object | None = None,
    image: str = "genset:1",
    status: dict[str, Any] | None = None,
    **settings: Any,
) -> Object:
    resource = ModelDeployment.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "house", "namespace": "n", "uid": "u"},
            "spec": {**HOUSE, **spec},
            "status": status,
        }
    )
    context = ModelDeploymentContext(settings=Settings(image=image, **settings), running=running)
    deployment = workload.deployment(resource, context)
    assert deployment is not None
    return deployment


def puller(deployment: Object) -> tuple[str, str]:
    container = deployment["spec"]["template"]["spec"]["initContainers"][0]
    return container["image"], container["imagePullPolicy"]


def test_image_and_pull_policy_of_the_operator_make_nothing_new() -> None:
    running = made({})
    assert made({}, running, "genset:2", image_pull_policy="Never") == running
    scaled = made({"replicas": 3}, running, "genset:2")
    assert scaled["spec"]["template"] == running["spec"]["template"] and scaled["spec"]["replicas"] == 3


def test_bounds_that_no_resource_names_and_sizes_that_became_known_make_nothing_new() -> None:
    running = made({})
    known = {"weights": {"bytes": 5 << 30, "totalBytes": 5 << 30}}
    assert made({}, running, max_scratch_size="7Gi", forbidden_networks=("10.0.0.0/8",), status=known) == running


def test_nor_does_an_operator_that_sets_bounds_for_the_first_time() -> None:
    running = made({})
    spec = running["spec"]["template"]["spec"]
    spec["volumes"] = [{**volume, "emptyDir": {}} for volume in spec["volumes"]]
    for container in (*spec["containers"], *spec["initContainers"]):
        for amounts in container["resources"].values():
            del amounts["ephemeral-storage"]
    args = spec["initContainers"][0]["args"]
    assert args[-6::2] == ["--max-size", "--volume-size", "--exclusive"] and args.pop() == "--guarded"
    del args[-5:-1]
    assert spec["initContainers"][0]["args"][-3:] == ["--termination-log", "/dev/termination-log", "--exclusive"]
    assert made({}, running) == running


def test_the_next_roll_out_asks_for_what_is_known() -> None:
    running = made({})
    known = {"weights": {"bytes": 5 << 30, "totalBytes": 5 << 30}}
    changed = made({"context": {"parallel": 9}}, running, status=known)
    requests = changed["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert requests["ephemeral-storage"] == f"{5 * 1024 + 64}Mi"


def patch(**container: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"initContainers": [{"name": "weights", **container}]}}}


@pytest.mark.parametrize(
    ("before", "after", "settings"),
    [
        ({}, {"context": {"parallel": 9}}, {}),
        ({}, {"resources": {"cpu": "3"}}, {}),
        ({}, {"source": {**HOUSE["source"], "maxSize": "5Gi"}}, {}),
        ({}, patch(image="mine:1"), {}),
        (patch(image="mine:1"), patch(image="mine:2"), {}),
        (patch(image="mine:1"), {}, {}),
        ({}, {}, {"engine_images": {"llama.cpp": {"cpu": "another"}}}),
        ({}, {}, {"image_pull_secrets": ("regcred",)}),
    ],
)
def test_every_other_change_does_and_takes_the_new_puller_along(
    before: dict[str, Any], after: dict[str, Any], settings: dict[str, Any]
) -> None:
    running = made(before)
    changed = made(after, running, "genset:2", image_pull_policy="Always", **settings)
    assert changed["spec"]["template"] != running["spec"]["template"]
    assert puller(changed) == puller(made(after, None, "genset:2", image_pull_policy="Always", **settings))


def test_a_deployment_from_before_is_made_new_once() -> None:
    running = made({})
    running["metadata"].pop("annotations")
    assert puller(made({}, running, "genset:2"))[0] == "genset:2"
