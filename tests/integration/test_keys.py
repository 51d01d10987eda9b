"""`genset key` on a real API server: what it makes is what routers are told of, and what it revokes they know no longer."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from click.testing import CliRunner

from genset import kinds
from genset.cli.key import command
from genset.contracts.access_keys import ACCESS_KEYS_FILE, digest_of, from_json
from testbed.cluster import tools
from tests.support.integration.samples import model_deployment, route_policy
from tests.support.integration.world import World

RP = kinds.ROUTE_POLICY
ACCESS = {"mode": "Required", "consumers": [{"name": "lab", "keysSecretRef": {"name": "lab-keys", "key": "lab"}}]}


@pytest.fixture
def as_administrator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever has kubectl and its kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(world.plane.kubeconfig))
    monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}:/usr/bin:/bin")


async def genset_key(world: World, *arguments: str, fails: bool = False) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, command, [*arguments, "-n", world.namespace])
    assert (done.exit_code != 0) == fails, done.output
    return str(done.output)


async def known(world: World) -> set[str]:
    """Returns the digests that routers know, of whichever consumer."""
    for found in await world.list(kinds.SECRET):
        content = (found.get("data") or {}).get(ACCESS_KEYS_FILE)
        if content is not None:
            return set(from_json(base64.b64decode(content)))
    return set()


async def test_a_key_is_made_rotated_and_revoked(world: World, as_administrator: None) -> None:
    await world.start()
    first = (await genset_key(world, "create", "lab", "--apply", "--comment", "since March")).strip()
    backends: list[Any] = [{"name": "house", "deployment": {"name": "house"}}]
    routes: list[Any] = [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}]
    await world.apply(
        model_deployment(world.namespace, "house"),
        route_policy(world.namespace, "assistant", backends=backends, routes=routes, access=ACCESS),
    )

    async def told(*keys: str) -> None:
        wanted = {digest_of(key.encode()) for key in keys}

        async def reached() -> bool:
            return await known(world) == wanted

        await world.until(f"routers know {len(keys)} keys", reached)

    await told(first)
    second = (await genset_key(world, "create", "lab", "--apply")).strip()
    await told(first, second)
    listed = json.loads(await genset_key(world, "list", "-o", "json"))
    assert [(one["secret"], one["entry"], one["comment"], one["fault"]) for one in listed] == [
        ("lab-keys", "lab", "since March", ""),
        ("lab-keys", "lab", "", ""),
    ]
    table = await genset_key(world, "list")
    assert first not in table and second not in table and "since March" in table
    await genset_key(world, "revoke", listed[0]["id"])
    await told(second)
    missing = await genset_key(world, "revoke", listed[0]["id"], fails=True)
    assert "no labelled Secret holds a key with the id" in missing


async def test_keys_of_teams_are_listed_by_their_secrets(world: World, as_administrator: None) -> None:
    """consumerSelector takes any Secret with the label: so does the list, which names the Secret that each key stands in."""
    labels = {"genset.dev/consumer": "true", "team": "lab"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
    one, two = (base64.b64encode(f"gs-{name}-0123456789abcdef\nshort\n".encode()).decode() for name in ("one", "two"))
    for name, value, marks in (("alpha", one, labels), ("beta", two, labels), ("other", one, {"team": "lab"})):
        place = {"name": name, "namespace": world.namespace, "labels": marks}
        await world.apply_others({**secret, "metadata": place, "data": {"keys": value}})
    listed = json.loads(await genset_key(world, "list", "-o", "json"))
    assert [(found["secret"], bool(found["fault"])) for found in listed] == [
        ("alpha", False), ("alpha", True), ("beta", False), ("beta", True),
    ]  # fmt: skip
