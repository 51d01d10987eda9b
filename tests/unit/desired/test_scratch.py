"""What pods ask for of their node's disk, and what they may have of it."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import router, scratch, workload
from genset.desired.context import ModelDeploymentContext, Object, Settings

GIB = 1 << 30
HTTP: dict[str, Any] = {"url": "https://host/m.gguf", "sha256": "a" * 64}


def resource(spec: dict[str, Any], total: int = 0) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "house", "namespace": "n", "uid": "u"},
            "spec": {"source": {"http": HTTP}, **spec},
            "status": {"weights": {"bytes": total, "totalBytes": total}},
        }
    )


def pod(found: ModelDeployment) -> Object:
    made = workload.deployment(found, ModelDeploymentContext(settings=Settings(image="i")))
    assert made is not None
    spec: Object = made["spec"]["template"]["spec"]
    return spec


SAID = {"source": {"http": HTTP, "maxSize": "20Gi"}}
CACHED = {"cache": {"size": "30Gi"}}


@pytest.mark.parametrize(
    ("spec", "total", "bound", "asked", "most"),
    [
        ({}, 0, 100 * GIB, "64Mi", f"{(100 + 3) * 1024 + 128}Mi"),  # the size is not known
        ({}, 5 * GIB + 1, 100 * GIB, f"{5 * 1024 + 1 + 64}Mi", f"{(100 + 3) * 1024 + 128}Mi"),
        (SAID, 0, 20 * GIB, f"{20 * 1024 + 64}Mi", f"{(20 + 3) * 1024 + 128}Mi"),
        (SAID, 5 * GIB, 20 * GIB, f"{5 * 1024 + 64}Mi", f"{(20 + 3) * 1024 + 128}Mi"),
        ({"source": {"http": HTTP, "maxSize": "1Gi"}}, 50 * GIB, GIB, f"{1024 + 128 + 64}Mi", f"{4 * 1024 + 128}Mi"),
        (CACHED, 5 * GIB, 30 * GIB, "64Mi", "3Gi"),  # weights on a volume are no ephemeral storage
        ({**SAID, **CACHED}, 5 * GIB, 20 * GIB, "64Mi", "3Gi"),
        ({"source": {"http": HTTP, "maxSize": "99E"}}, 0, 1 << 60, None, None),
    ],
)
def test_amounts(spec: dict[str, Any], total: int, bound: int, asked: str | None, most: str | None) -> None:
    found = resource(spec, total)
    assert scratch.download_bytes(found, Settings(image="i")) == bound
    made = pod(found)
    for container in (*made["containers"], *made["initContainers"]):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        if asked is not None:
            assert (requests["ephemeral-storage"], limits["ephemeral-storage"]) == (asked, most)
        assert scratch.mib(requests["ephemeral-storage"]) <= scratch.mib(limits["ephemeral-storage"])


def test_no_empty_dir_is_without_a_limit() -> None:
    policy = RoutePolicy.model_validate(
        {
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {
                "backends": [{"name": "house", "deployment": {"name": "house"}}],
                "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}],
            },
        }
    )
    for spec in (pod(resource({})), router.own_template(policy, Settings(image="i"))["spec"]):
        dirs = [volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume]
        assert dirs and all(scratch.mib(one["sizeLimit"]) for one in dirs)


def test_the_pullers_bound_lies_below_what_its_node_ends_the_pod_for() -> None:
    made = pod(resource(SAID))
    args = made["initContainers"][0]["args"]
    volume = int(args[args.index("--volume-size") + 1])
    limit = next(one["emptyDir"]["sizeLimit"] for one in made["volumes"] if one["name"] == "weights")
    assert int(args[args.index("--max-size") + 1]) == 20 * GIB < volume < scratch.mib(limit) << 20
