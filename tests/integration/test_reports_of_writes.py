"""Situations in which other operators were reported to write what others decide, or to make again what is being deleted.

Each test names the report: repository and number.
"""

from __future__ import annotations

import json
from typing import Any

from genset import kinds
from genset.kinds import Kind
from tests.support.integration import samples
from tests.support.integration.world import World

MD = kinds.MODEL_DEPLOYMENT
RP = kinds.ROUTE_POLICY
CLOUD = "cloud-controller"


async def accepted(world: World, **spec: Any) -> None:
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant", **spec),
    )
    for kind, name in ((MD, "house"), (RP, "assistant")):
        await world.until_condition(kind, name, "Accepted", "True")


async def patched_by(world: World, manager: str, kind: Kind, name: str, body: dict[str, Any], sub: str = "") -> None:
    await world.api.request(
        "PATCH",
        kind.path(world.namespace, name, sub) if sub else kind.path(world.namespace, name),
        query={"fieldManager": manager},
        body=body,
        headers={"Content-Type": "application/merge-patch+json"},
    )


async def test_what_is_deleted_before_its_owner_is_not_made_again(world: World) -> None:
    """strimzi/strimzi-kafka-operator#12835: children were made again beside an owner that waited for their end."""
    operator = await world.start()
    await accepted(world)
    held = {"metadata": {"finalizers": ["foregroundDeletion", "example.com/hold"]}}
    for kind, name in ((MD, "house"), (RP, "assistant")):
        await world.patch(kind, name, held)
        await world.delete(kind, name)
    await world.quiet(operator)
    children: list[tuple[Kind, str]] = [
        (kinds.SERVICE, "house"), (kinds.DEPLOYMENT, "house"), (kinds.SECRET, "assistant-router-credentials"),
        (kinds.CONFIG_MAP, "assistant-router-config"), (kinds.SERVICE_ACCOUNT, "assistant-router"),
    ]  # fmt: skip
    since = world.plane.audit_position()
    for kind, name in children:
        await world.delete(kind, name)
    await world.quiet(operator)
    assert world.writes(since) == []
    assert [name for kind, name in children if await world.get(kind, name) is not None] == []
    for kind, name in ((MD, "house"), (RP, "assistant")):
        await world.patch(kind, name, {"metadata": {"finalizers": None}})


async def test_nothing_waits_for_an_operator_that_is_gone(world: World) -> None:
    """strimzi/strimzi-kafka-operator#11901, 1Password/onepassword-operator#55: finalizers kept a namespace Terminating."""
    operator = await world.start()
    await accepted(world)
    await world.quiet(operator)
    await world.stop(operator)
    found = [
        f"{kind.kind} {one['metadata']['name']}"
        for kind in (MD, RP, kinds.DEPLOYMENT, kinds.SERVICE, kinds.SECRET, kinds.CONFIG_MAP, kinds.PVC)
        for one in await world.list(kind)
        if one["metadata"].get("finalizers") and kind is not kinds.PVC
    ]
    assert found == []
    for kind, name in ((MD, "house"), (RP, "assistant")):
        await world.delete(kind, name)
        assert await world.get(kind, name) is None, "gone at once, with nobody there"


async def test_what_a_cloud_writes_into_a_service_stays(world: World) -> None:
    """cloudnative-pg/cloudnative-pg#8119: the operator took externalIPs away, the cloud put them there again, for ever."""
    operator = await world.start()
    await accepted(world, router={"service": {"type": "LoadBalancer", "annotations": {"example.com/lb": "internal"}}})
    await world.quiet(operator)
    given = {
        "metadata": {
            "annotations": {"cloud.example.com/id": "7"},
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
        },
        "spec": {"externalIPs": ["192.0.2.7"], "sessionAffinity": "ClientIP"},
    }
    since = world.plane.audit_position()
    await patched_by(world, CLOUD, kinds.SERVICE, "assistant-router", given)
    await patched_by(
        world,
        CLOUD,
        kinds.SERVICE,
        "assistant-router",
        {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}},
        "status",
    )
    await world.patch(RP, "assistant", {"metadata": {"annotations": {"a": "b"}}})
    await world.quiet(operator)
    assert [line for line in world.writes(since) if "/services/" in line] == []
    await world.patch(RP, "assistant", {"spec": {"router": {"service": {"port": 8080}}}})

    async def moved() -> Any:
        live = await world.get(kinds.SERVICE, "assistant-router")
        return live if live is not None and live["spec"]["ports"][0]["port"] == 8080 else None

    live = await world.until("the Service has the new port", moved)
    assert (
        live["spec"]["externalIPs"] == ["192.0.2.7"] and live["metadata"]["annotations"]["cloud.example.com/id"] == "7"
    )
    assert live["metadata"]["annotations"]["example.com/lb"] == "internal"
    assert live["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.7", "ipMode": "VIP"}]
    await patched_by(world, CLOUD, kinds.SERVICE, "assistant-router", {"metadata": {"finalizers": None}})


async def test_an_autoscaler_at_the_wrong_object_is_told_and_no_war_begins(world: World) -> None:
    """defilantech/LLMKube#484, vllm-project/semantic-router#4058: operator and HPA set replicas 41 times in 14 minutes."""
    operator = await world.start()
    await accepted(world)
    await world.quiet(operator)
    since = world.plane.audit_position()
    for _ in range(20):
        await patched_by(world, "hpa", kinds.DEPLOYMENT, "house", {"spec": {"replicas": 3}}, "scale")
        await world.quiet(operator)
    told = await world.until_condition(MD, "house", "Stalled", "True", "Contested")
    assert "by hpa (spec.replicas)" in told["message"]
    assert told["message"].endswith("aim the autoscaler at ModelDeployment house, which has a scale, too")
    assert len([line for line in world.writes(since) if "/deployments/" in line]) < 6
    assert (await world.condition(RP, "assistant", "Accepted"))["status"] == "True"


async def test_a_server_that_is_refused_is_no_destination(world: World) -> None:
    """envoyproxy/gateway#4203: a backend at 127.0.0.1 was refused by its own status, and routes went on to use it."""
    operator = await world.start()
    await accepted(world)
    await world.quiet(operator)
    house = {"name": "house", "deployment": {"name": "house"}}
    refused = {
        "name": "frontier",
        "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "http://127.0.0.1:19000/v1"},
    }
    await world.patch(RP, "assistant", {"spec": {"backends": [house, refused]}})
    await world.until_condition(RP, "assistant", "Accepted", "False", "InvalidSpec")
    live = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    assert live is not None
    config = json.loads(live["data"]["router.json"])
    assert "127.0.0.1" not in live["data"]["router.json"]
    assert [one["name"] for one in config["backends"]] == ["house"]
    assert [one["backend"] for route in config["routes"] for tier in route["tiers"] for one in tier] == ["house"]
