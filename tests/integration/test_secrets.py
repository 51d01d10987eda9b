"""A Secret's owner says where its values may be sent; nothing else in the cluster can."""

from __future__ import annotations

import json

from genset import kinds, names
from tests.support.integration import samples
from tests.support.integration.world import World

OWN = "assistant-router-credentials"


async def keys(world: World) -> dict[str, str]:
    """What the routers of the policy are given."""
    return (await world.get(kinds.SECRET, OWN) or {}).get("data") or {}


async def served(world: World) -> list[str]:
    config = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    assert config is not None
    return [backend["name"] for backend in json.loads(config["data"][names.ROUTER_CONFIG_FILE])["backends"]]


async def allow(world: World, name: str, hosts: str | None) -> None:
    await world.patch(kinds.SECRET, name, {"metadata": {"annotations": {"genset.dev/allow-hosts": hosts}}})


async def test_a_key_follows_the_consent_of_its_owner(world: World) -> None:
    """Nobody touches the policy: a change of the annotation alone gives the key to the routers, and takes it away."""
    operator = await world.start()
    await world.apply(
        samples.secret(world.namespace, allow=None, apiKey="sk-test", other="x"),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant"),
    )
    told = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "SecretNotAllowed")
    command = f"kubectl annotate secret cloud -n {world.namespace} genset.dev/allow-hosts=api.openai.com"
    assert command in told["message"] and "other" not in told["message"]
    assert await keys(world) == {} and await served(world) == ["house"]
    await allow(world, "cloud", "api.openai.com")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    assert len(await keys(world)) == 1 and await served(world) == ["house", "frontier"]
    await allow(world, "cloud", "api.openai.com.evil.example")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "SecretNotAllowed")
    assert await keys(world) == {} and await served(world) == ["house"]
    await allow(world, "cloud", "*.openai.com")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    await allow(world, "cloud", None)
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "SecretNotAllowed")
    await world.quiet(operator)
    assert await keys(world) == {}


async def test_the_copies_that_routers_have_are_nobodys_source(world: World) -> None:
    """The operator's own Secret holds keys of several owners; a policy that names it gets nothing."""
    await world.start()
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant"),
    )
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    (file,) = await keys(world)
    cloud = {
        "provider": "openAICompatible", "model": "m", "baseURL": "https://evil.example/v1",
        "credentialsSecretRef": {"name": OWN, "key": file},
    }  # fmt: skip
    thief = samples.route_policy(world.namespace, "thief")
    thief["spec"]["backends"][1]["cloud"] = cloud
    await world.apply(thief)
    await world.until_condition(kinds.ROUTE_POLICY, "thief", "ResolvedRefs", "False", "SecretNotAllowed")
    assert not ((await world.get(kinds.SECRET, "thief-router-credentials") or {}).get("data"))


async def test_a_puller_gets_no_token_without_consent(world: World) -> None:
    await world.start()
    source = {
        "huggingFace": {
            "repo": "org/gated", "endpoint": "https://hub.corp:8443", "tokenSecretRef": {"name": "hub", "key": "token"}
        }
    }  # fmt: skip
    await world.apply(
        samples.secret(world.namespace, "hub", allow="huggingface.co", token="hf_x"),
        samples.model_deployment(world.namespace, "house", source=source),
    )
    told = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "SecretNotAllowed")
    assert "hub.corp:8443" in told["message"]
    assert await world.get(kinds.DEPLOYMENT, "house") is None
    await allow(world, "hub", "huggingface.co,hub.corp:8443")
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    assert await world.get(kinds.DEPLOYMENT, "house") is not None
