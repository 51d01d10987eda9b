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
    ({"engine": "llamacpp"}, 'Unsupported value: "llamacpp": supported values: "llama.cpp", "external"'),
    ({"source": _TWO_SOURCES}, "source needs exactly one of huggingFace, http, pvc, hostPath"),
    ({"source": {}}, "source needs exactly one of huggingFace, http, pvc, hostPath"),
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
            "openAICompatible needs baseURL",
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
