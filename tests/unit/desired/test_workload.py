"""Decisions of the pods that golden files do not make obvious."""

from __future__ import annotations

from typing import Any

import pytest

from genset import desired, names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings

SETTINGS = Settings(image="genset:test")


def children(**spec: Any) -> dict[str, dict[str, Any]]:
    resource = ModelDeployment.model_validate(
        {"metadata": {"name": "m", "uid": "u"}, "spec": {"source": {"huggingFace": {"repo": "a/b"}}, **spec}}
    )
    return {c["kind"]: c for c in desired.model_deployment(resource, ModelDeploymentContext(SETTINGS))}


def template(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = children(**spec)["Deployment"]["spec"]["template"]
    return found


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_replicas_are_always_said(replicas: int) -> None:
    assert children(replicas=replicas)["Deployment"]["spec"]["replicas"] == replicas


def test_scaling_leaves_the_pods_alone() -> None:
    assert template(replicas=1) == template(replicas=3)


@pytest.mark.parametrize(
    ("spec", "surge", "unavailable"),
    [
        ({}, 1, 0),
        ({"resources": {"accelerator": {"vendor": "intel"}}}, 0, 1),
        ({"cache": {"size": "1Gi"}}, 1, 0),
        ({"cache": {"size": "1Gi", "accessMode": "ReadWriteOncePod"}}, 0, 1),
        ({"rollout": {"strategy": "Replace"}}, 0, 1),
        ({"rollout": {"strategy": "Surge"}, "resources": {"accelerator": {"vendor": "intel"}}}, 1, 0),
    ],
)
def test_a_roll_out_never_waits_for_what_cannot_be_spared(spec: dict[str, Any], surge: int, unavailable: int) -> None:
    rolling = children(**spec)["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_a_changed_source_rolls_the_pods_and_a_changed_mirror_does_not_change_the_weights() -> None:
    def weights_of(**hub: str) -> str:
        source = {"huggingFace": {"repo": "a/b", **hub}}
        found: str = template(source=source)["metadata"]["annotations"]["genset.dev/weights-hash"]
        return found

    assert weights_of(revision="one") != weights_of(revision="two")
    assert weights_of(endpoint="https://a.example") == weights_of(endpoint="https://b.example")


def test_secrets_are_mounted_into_the_puller_only() -> None:
    source = {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    spec = template(source=source)["spec"]
    (volume,) = [v["name"] for v in spec["volumes"] if "projected" in v]
    assert volume in [m["name"] for m in spec["initContainers"][0]["volumeMounts"]]
    assert volume not in [m["name"] for m in spec["containers"][0]["volumeMounts"]]
    assert "hub" not in str(spec["initContainers"][0]["args"])


def test_grace_covers_the_drain() -> None:
    spec = template(rollout={"drainSeconds": 120})["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 120 + 5 + 15
    assert "SECONDS + 120" in spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]


@pytest.mark.parametrize(
    ("source", "downloads"),
    [
        ({"huggingFace": {"repo": "a/b"}}, True),
        ({"http": {"url": "https://a.example/m.gguf", "sha256": "0" * 64}}, True),
        ({"pvc": {"claimName": "c", "path": "m.gguf"}}, False),
        ({"hostPath": {"path": "/m.gguf"}}, False),
    ],
)
def test_only_pods_that_download_are_born_with_a_way_out(source: dict[str, Any], downloads: bool) -> None:
    assert (names.LABEL_DOWNLOADING in template(source=source)["metadata"]["labels"]) == downloads


def policy(**changes: Any) -> dict[str, dict[str, Any]]:
    spec = {
        "backends": [{"name": "a", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "https://a/v1"}}],
        "routes": [{"name": "r", "tiers": [{"backends": [{"name": "a"}]}]}],
        **changes.pop("spec", {}),
    }
    meta = {"name": "p", "uid": "u", "generation": changes.get("generation", 1)}
    resource = RoutePolicy.model_validate({"metadata": meta, "spec": spec})
    return {c["kind"]: c for c in desired.route_policy(resource, RoutePolicyContext(SETTINGS))}


def test_a_changed_policy_reaches_routers_without_a_restart() -> None:
    before = policy()
    after = policy(
        generation=2, spec={"routes": [{"name": "other", "tiers": [{"backends": [{"name": "a", "weight": 5}]}]}]}
    )
    assert before["Deployment"] == after["Deployment"]
    assert before["ConfigMap"]["data"] != after["ConfigMap"]["data"]


def test_nothing_of_the_configuration_is_mounted_by_subpath() -> None:
    mounts = policy()["Deployment"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert all("subPath" not in mount for mount in mounts)


def test_the_admin_port_is_not_on_the_client_service() -> None:
    assert [port["port"] for port in policy()["Service"]["spec"]["ports"]] == [80]
