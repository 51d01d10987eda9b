"""Bad input, each with the message that a user would want: from the API server, or in a condition."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from genset import kinds
from genset.kube.client import ApiError
from tests.support.integration import samples
from tests.support.integration.world import World

_TWO_SOURCES = {"huggingFace": {"repo": "org/model"}, "pvc": {"claimName": "models", "path": "model.gguf"}}

MODEL_DEPLOYMENTS = [
    ({"replica": 2}, 'unknown field "spec.replica"'),
    ({"engine": "llamacpp"}, 'Unsupported value: "llamacpp": supported values: "llama.cpp"'),
    ({"source": _TWO_SOURCES}, "source needs exactly one of huggingFace, http, s3, oci, pvc, hostPath"),
    ({"source": {}}, "source needs exactly one of huggingFace, http, s3, oci, pvc, hostPath"),
    ({"source": None}, "an engine that genset runs needs source"),
    ({"engine": "external"}, "engine external needs external.url"),
    ({"replicas": -1}, "should be greater than or equal to 0"),
    ({"source": {"http": {"url": "https://host/m.gguf", "sha256": "abc"}}}, "spec.source.http.sha256"),
    ({"resources": {"memory": "lots"}}, "spec.resources.memory"),
]


@pytest.mark.parametrize(("spec", "message"), MODEL_DEPLOYMENTS, ids=[message[:40] for _, message in MODEL_DEPLOYMENTS])
async def test_the_api_server_refuses_a_model_deployment(world: World, spec: dict[str, Any], message: str) -> None:
    body = samples.model_deployment(world.namespace, "house", **spec)
    path = kinds.MODEL_DEPLOYMENT.path(world.namespace)
    with pytest.raises(ApiError) as refused:
        await world.api.request("POST", path, query={"fieldValidation": "Strict"}, body=body)
    assert message in refused.value.message


def _policies() -> list[tuple[dict[str, Any], str]]:
    good = samples.route_policy("n", "assistant")["spec"]

    def changed(change: Any) -> dict[str, Any]:
        spec = copy.deepcopy(good)
        change(spec)
        return spec

    cloud = good["backends"][1]["cloud"]
    return [
        (
            changed(lambda s: s["routes"][0]["tiers"][0]["backends"].append({"name": "nobody"})),
            "must be one of spec.backends",
        ),
        (changed(lambda s: s["backends"][0].update(cloud=cloud)), "exactly one of deployment, cloud"),
        (
            changed(lambda s: s["backends"][1]["cloud"].update(provider="openAICompatible")),
            "this provider needs baseURL",
        ),
        (
            changed(lambda s: s["backends"][1]["cloud"].pop("credentialsSecretRef")),
            "this provider needs credentialsSecretRef",
        ),
        (changed(lambda s: s["backends"].append(s["backends"][0])), "Duplicate value"),
        (changed(lambda s: s["routes"][0].update(retries=3)), 'unknown field "spec.routes[0].retries"'),
    ]


@pytest.mark.parametrize(("spec", "message"), _policies(), ids=[message[:40] for _, message in _policies()])
async def test_the_api_server_refuses_a_route_policy(world: World, spec: dict[str, Any], message: str) -> None:
    body = {**samples.route_policy(world.namespace, "assistant"), "spec": spec}
    path = kinds.ROUTE_POLICY.path(world.namespace)
    with pytest.raises(ApiError) as refused:
        await world.api.request("POST", path, query={"fieldValidation": "Strict"}, body=body)
    assert message in refused.value.message


async def test_missing_secret_then_missing_key_then_well(world: World) -> None:
    """Each step is noticed by itself: nobody touches the ModelDeployment in between."""
    await world.start()
    source = {"huggingFace": {"repo": "org/gated", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    await world.apply(samples.model_deployment(world.namespace, "house", source=source))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "SecretNotFound")
    assert "Secret hub" in accepted["message"] and "token" in accepted["message"]
    await world.apply(samples.secret(world.namespace, "hub", password="x"))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "SecretKeyNotFound")
    assert "password" not in accepted["message"], "which keys there are is not told"
    await world.apply(samples.secret(world.namespace, "hub", token="hf_x"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    assert await world.get(kinds.DEPLOYMENT, "house") is not None


async def test_a_deleted_secret_takes_nothing_away_that_runs(world: World) -> None:
    operator = await world.start()
    source = {"huggingFace": {"repo": "org/gated", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    await world.apply(
        samples.secret(world.namespace, "hub", token="hf_x"),
        samples.model_deployment(world.namespace, "house", source=source),
    )
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    before = await world.get(kinds.DEPLOYMENT, "house")
    await world.delete(kinds.SECRET, "hub")
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "SecretNotFound")
    await world.quiet(operator)
    assert await world.get(kinds.DEPLOYMENT, "house") == before
    assert len(await world.list(kinds.SERVICE)) == 2


async def test_host_path_needs_the_operators_consent(world: World) -> None:
    await world.start()
    await world.apply(
        samples.model_deployment(world.namespace, "house", source={"hostPath": {"path": "/models/m.gguf"}})
    )
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "HostPathNotAllowed")
    assert "allowHostPath" in accepted["message"]
    assert await world.list(kinds.DEPLOYMENT) == []


async def test_a_namespace_that_is_being_deleted(world: World) -> None:
    """A condition says so; no error, no storm of retries."""
    await world.apply(
        samples.model_deployment(world.namespace, "house"), samples.route_policy(world.namespace, "assistant")
    )
    await asyncio.to_thread(world.plane.kubectl, "delete", "namespace", world.namespace, "--wait=false")
    since = world.plane.audit_position()
    operator = await world.start()
    for kind, name in ((kinds.MODEL_DEPLOYMENT, "house"), (kinds.ROUTE_POLICY, "assistant")):
        accepted = await world.until_condition(kind, name, "Accepted", "False", "NamespaceTerminating")
        assert "deleted" in accepted["message"]
    await world.quiet(operator)
    assert await world.list(kinds.DEPLOYMENT) == []
    assert len(world.writes(since)) < 40, world.writes(since)
    assert operator.meters.registry.get_sample_value("genset_workqueue_retries_total") == 0


async def test_a_pod_template_gives_nobody_a_right_that_he_lacks(world: World) -> None:
    """Whoever may create a ModelDeployment need not be allowed to create pods. Nothing is made of what says too much."""
    await world.start()
    wide = {
        "spec": {
            "hostNetwork": True,
            "serviceAccountName": "admin",
            "volumes": [{"name": "keys", "secret": {"secretName": "cloud"}}],
            "containers": [{"name": "engine", "image": "registry.invalid/other:1"}],
        }
    }
    await world.apply(samples.model_deployment(world.namespace, "house", podTemplate=wide))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "InvalidSpec")
    for field in ("hostNetwork", "serviceAccountName", "volumes", "containers[engine].image"):
        assert f"spec.podTemplate.spec.{field}" in accepted["message"]
    assert "podTemplate: Full" in accepted["message"]
    assert await world.list(kinds.DEPLOYMENT) == []
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"podTemplate": None}})
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")


async def test_an_image_outside_the_operators_list_is_refused(world: World) -> None:
    await world.start()
    image = {"image": "registry.elsewhere.example/llama:1"}
    await world.apply(samples.model_deployment(world.namespace, "house", llamaCpp=image))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "InvalidSpec")
    assert "spec.llamaCpp.image registry.elsewhere.example/llama:1" in accepted["message"]
    assert await world.list(kinds.DEPLOYMENT) == []


async def test_a_policy_that_says_too_much_of_its_routers_leaves_those_that_run(world: World) -> None:
    """Its routes reach the running routers all the same: only the Deployment stays as it is."""
    await world.start()
    good = samples.route_policy(world.namespace, "assistant")
    await world.apply(samples.secret(world.namespace), samples.model_deployment(world.namespace, "house"), good)
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    before = await world.get(kinds.DEPLOYMENT, "assistant-router")
    wide = copy.deepcopy(good)
    wide["spec"]["router"] = {"podTemplate": {"spec": {"hostPID": True}}}
    wide["spec"]["routes"][0]["name"] = "renamed"
    await world.apply(wide)
    accepted = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "InvalidSpec")
    assert "spec.router.podTemplate.spec.hostPID" in accepted["message"]
    after = await world.get(kinds.DEPLOYMENT, "assistant-router")
    assert before is not None and after is not None and after["spec"] == before["spec"]
    config = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    assert config is not None and "renamed" in config["data"]["router.json"]


async def test_routers_are_shaped_scaled_and_labelled(world: World) -> None:
    """A quota that asks for CPU limits, an autoscaler's scale, labels for whoever pays, no budget."""
    await world.start()
    body = samples.route_policy(world.namespace, "assistant", metadataTemplate={"labels": {"cost-center": "42"}})
    body["spec"]["router"] = {
        "resources": {"cpuLimit": "1"},
        "podTemplate": {"remove": ["spec.securityContext.runAsUser"], "spec": {"nodeSelector": {"pool": "edge"}}},
        "service": {"type": "NodePort", "port": 8000, "externalTrafficPolicy": "Local"},
        "disruptionBudget": "None",
    }
    await world.apply(samples.secret(world.namespace), samples.model_deployment(world.namespace, "house"), body)
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    deployment = await world.get(kinds.DEPLOYMENT, "assistant-router")
    assert deployment is not None
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "edge"} and "runAsUser" not in pod["securityContext"]
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "1"
    service = await world.get(kinds.SERVICE, "assistant-router")
    assert service is not None and service["spec"]["ports"][0]["port"] == 8000
    for child in (deployment, service):
        assert child["metadata"]["labels"]["cost-center"] == "42"
    assert [item["metadata"]["name"] for item in await world.list(kinds.DISRUPTION_BUDGET)] == ["house"]
    live = await world.get(kinds.ROUTE_POLICY, "assistant")
    assert live is not None and live["status"]["url"].endswith(".svc:8000/v1")
    await asyncio.to_thread(world.plane.kubectl, "-n", world.namespace, "scale", "rp/assistant", "--replicas=3")

    async def scaled() -> bool:
        return ((await world.get(kinds.DEPLOYMENT, "assistant-router")) or {})["spec"]["replicas"] == 3

    await world.until("three routers wanted", scaled)
