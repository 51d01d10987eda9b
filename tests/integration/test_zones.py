"""Data zones on a real API server: what a namespace's label forbids reaches status, configuration and NetworkPolicy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from genset import kinds
from tests.support.integration import rbac
from tests.support.integration.samples import model_deployment, route_policy, secret
from tests.support.integration.world import World

Object = dict[str, Any]
RP = kinds.ROUTE_POLICY
LABEL = "genset.dev/data-zones"
FAR = {"provider": "openAICompatible", "model": "m", "baseURL": "https://203.0.113.7:8443/v1"}
TO_FAR = {"to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}], "ports": [{"port": 8443, "protocol": "TCP"}]}
BACKENDS = [{"name": "house", "deployment": {"name": "house"}}, {"name": "paris", "dataZone": "eu", "cloud": FAR}]
MIXED = {"name": "mixed", "tiers": [{"backends": [{"name": "house"}]}, {"backends": [{"name": "paris"}]}]}
ALONE = {"name": "alone", "match": {"models": ["alone"]}, "tiers": [{"backends": [{"name": "paris"}]}]}


def policy(world: World, *routes: Object, **spec: Any) -> Object:
    return route_policy(world.namespace, "assistant", backends=BACKENDS, routes=list(routes), **spec)


async def label(world: World, text: str) -> None:
    """Does what an administrator does; `-` takes the label away."""
    change = text if text == "-" else f"={text}"
    await asyncio.to_thread(
        world.plane.kubectl, "label", "namespace", world.namespace, "--overwrite", f"{LABEL}{change}"
    )


async def ways(world: World) -> list[Object]:
    found = await world.get(kinds.NETWORK_POLICY, "assistant-router")
    return list(found["spec"]["egress"]) if found is not None else []


async def asked(world: World) -> set[str]:
    """Returns the backends of the routers' configuration."""
    found = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    return {one["name"] for one in json.loads(found["data"]["router.json"])["backends"]} if found is not None else set()


async def shown(world: World) -> str:
    """Returns what `kubectl get rp` shows under ZONES."""
    table = await asyncio.to_thread(world.plane.kubectl, "-n", world.namespace, "get", "rp", "assistant")
    header, row = table.splitlines()[:2]
    begin = header.index("ZONES")
    return row[begin:].split("  ")[0].strip()


async def test_a_label_closes_routes_and_ways_out_and_opens_them_again(world: World) -> None:
    await world.start()
    await world.apply(model_deployment(world.namespace, "house"), policy(world, ALONE, MIXED))
    await world.until_condition(RP, "assistant", "Accepted", "True")
    assert TO_FAR in await ways(world) and await asked(world) == {"house", "paris"}
    await world.until("all zones are shown", lambda: _is(shown(world), "all"))

    await label(world, "house")
    told = await world.until_condition(RP, "assistant", "Accepted", "False", "NoBackendInZone")
    assert "spec.routes[alone]" in told["message"] and "paris (eu)" in told["message"]
    assert f"namespace {world.namespace} (label {LABEL}) allows house" in told["message"]
    assert "spec.routes[mixed]" not in told["message"], "the house answers for it"
    stalled = await world.condition(RP, "assistant", "Stalled")
    assert stalled.get("status") == "True", "a person has to do something"
    assert TO_FAR not in await ways(world) and await asked(world) == {"house"}
    assert await shown(world) == "house"

    await label(world, "house.eu")
    await world.until_condition(RP, "assistant", "Accepted", "True")
    assert TO_FAR in await ways(world) and await asked(world) == {"house", "paris"}
    assert await shown(world) == "eu, house"

    await label(world, "-")
    await world.until("all zones are shown", lambda: _is(shown(world), "all"))


async def test_a_policy_and_its_routes_close_ways_out(world: World) -> None:
    await world.start()
    await world.apply(model_deployment(world.namespace, "house"), policy(world, MIXED))
    await world.until_condition(RP, "assistant", "Accepted", "True")
    assert TO_FAR in await ways(world)
    for narrowed in (policy(world, MIXED, dataZones=["house"]), policy(world, {**MIXED, "dataZones": ["house"]})):
        await world.apply(narrowed)
        await world.until("the way is closed", lambda: _lacks(ways(world), TO_FAR))
        await world.apply(policy(world, MIXED))
        await world.until("the way is open", lambda: _has(ways(world), TO_FAR))


async def test_a_proxy_is_the_only_way_out_until_it_is_taken_away(world: World) -> None:
    await world.start()
    ref = {"name": "out", "key": "login"}
    proxied = {"proxy": {"url": "http://203.0.113.9:3128", "credentialsSecretRef": ref}}
    to_proxy = {"to": [{"ipBlock": {"cidr": "203.0.113.9/32"}}], "ports": [{"port": 3128, "protocol": "TCP"}]}
    await world.apply(model_deployment(world.namespace, "house"), policy(world, MIXED, egress=proxied))
    await world.until_condition(RP, "assistant", "ResolvedRefs", "False", "SecretNotFound")
    assert await asked(world) == {"house"}, "nothing goes out without the proxy's password, and nothing around it"
    await world.apply(secret(world.namespace, "out", login="user:pw"))
    await world.until("the cloud is asked", lambda: _is(asked(world), {"house", "paris"}))
    assert to_proxy in await ways(world) and TO_FAR not in await ways(world)
    files = await world.get(kinds.SECRET, "assistant-router-credentials")
    assert files is not None and len([name for name in files["data"] if name.endswith(".proxy")]) == 1
    await world.apply(policy(world, MIXED))
    await world.until("the way to the cloud is open", lambda: _has(ways(world), TO_FAR))
    assert to_proxy not in await ways(world)


@pytest.fixture
def blind(world: World) -> Path:
    """Returns the credentials of an operator that may not read namespaces, until a test lets it."""
    user = f"blind-{world.namespace}"
    group, kind = "rbac.authorization.k8s.io", "ClusterRole"
    rules = [rule for rule in rbac.RULES if rule["resources"] != ["namespaces"]]
    subjects = [{"kind": "User", "name": user, "apiGroup": group}]
    items = [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": user}, "rules": rules},
        {
            "apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": kind, "name": user}, "subjects": subjects,
        },
    ]  # fmt: skip
    world.plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return world.plane.client_config(user, user)


async def test_who_may_not_read_the_label_keeps_requests_in_the_house_and_says_so(world: World, blind: Path) -> None:
    await world.start(kubeconfig=blind)
    await world.apply(model_deployment(world.namespace, "house"), policy(world, MIXED))
    told = await world.until_condition(RP, "assistant", "Warnings", "True", "NamespaceUnread")
    assert world.namespace in told["message"] and "let it get the namespace" in told["message"]
    assert (await world.condition(RP, "assistant", "Accepted"))["status"] == "True", "the house answers"
    assert TO_FAR not in await ways(world) and await asked(world) == {"house"} and await shown(world) == "house"
    rules = [*rbac.RULES]
    user = blind.name.removesuffix(".kubeconfig")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": rules,
    }  # fmt: skip
    await asyncio.to_thread(world.plane.kubectl, "apply", "-f", "-", stdin=json.dumps(role))
    await world.until("what is not forbidden is asked", lambda: _is(asked(world), {"house", "paris"}))
    await world.until("the warning goes", lambda: _is(world.condition(RP, "assistant", "Warnings"), {}))


async def _is(found: Any, wanted: object) -> bool:
    return bool(await found == wanted)


async def _has(found: Any, one: object) -> bool:
    return one in await found


async def _lacks(found: Any, one: object) -> bool:
    return bool(other := await found) and one not in other
