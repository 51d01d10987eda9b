"""Routers get no keys of backends that no route may ask, look no names of them up and open no connection to them, whatever the
file says: operators leave such backends out, and a router does not rely on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genset.router.errors import ConfigRejected
from genset.router.http import connect
from genset.router.process import server
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, pods, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status

EU, US = {"dataZone": "eu"}, {"dataZone": "us"}
PROBED = {"healthPath": "/health"}
TENANT = "11111111-2222-3333-4444-555555555555"
LONG_ENOUGH = 1.6  # seconds: longer than between two probes, look-ups, looks at servers that just failed


@dataclass
class Site:
    """Two servers, of which the second one is out of bounds, and the names that were looked up."""

    near: ScriptedUpstream
    far: ScriptedUpstream
    names: list[str]


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    names: list[str] = []
    real = connect._getaddrinfo

    def looked_up(host: str) -> tuple[str, ...]:
        names.append(host)
        return ("127.0.0.1",) if host.endswith(".test") else real(host)

    monkeypatch.setattr(connect, "_getaddrinfo", looked_up)
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        yield Site(near, far, names)


def in_house(site: Site, **more: Any) -> dict[str, Any]:
    """The house has pods, which are looked up and probed, and may have adapters and senses that are asked for."""
    return pods("far.test", site.far.port, "far", **more)


#: Each has a helper that would dial at once.
FORBIDDEN: dict[str, Any] = {
    "probed cloud": lambda site: cloud(site.far.base_url, "far", **US, url=PROBED),
    "key that is not there": lambda site: cloud(site.far.base_url, "far", **US, url={**PROBED, "keyFile": "missing"}),
    "cloud with a name": lambda site: cloud(f"http://far.test:{site.far.port}/v1", "far", **US, url=PROBED),
    "cloud with a sign-in": lambda site: cloud(
        site.near.base_url, "far", "azureOpenAI", **US,
        url={"identity": {"tokenUrl": f"http://far.test:{site.far.port}/{TENANT}", "clientId": TENANT, "scope": "s"}},
    ),
    "pods": in_house,
    "pods with adapters": lambda site: in_house(site, adapters=["poems"], adapterList="Models"),
    "server elsewhere": lambda site: house(f"http://far.test:{site.far.port}/v1", "far", url=PROBED),
}  # fmt: skip


def document(site: Site, far: dict[str, Any], zones: list[str] | None) -> dict[str, Any]:
    made = config(cloud(site.near.base_url, "near", **EU, url=PROBED), far)
    made["dataZones"] = [{"saidBy": "RoutePolicy law/all (spec.dataZones)", "zones": zones}] if zones else None
    return made


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_nothing_of_it_is_used(tmp_path: Path, site: Site, name: str) -> None:
    async with RunningRouter(tmp_path, document(site, FORBIDDEN[name](site), ["eu"])) as router:
        assert router.configured, router.config_error
        assert (await router.ask(chat())).status == 200
        await asyncio.sleep(LONG_ENOUGH)
        assert "far" not in (await router.admin("/-/state")).json["backends"]
        refused = await router.ask(chat(), headers={"x-genset-data-zones": "us, house"})
        assert refused.status == 403 and "far" in refused.json["error"]["message"], "who is left out is told"
    assert site.far.accepted == 0 and "far.test" not in site.names and site.near.accepted > 0


@pytest.mark.parametrize("name", [name for name in FORBIDDEN if "not there" not in name])
async def test_the_same_router_uses_it_while_it_may(tmp_path: Path, site: Site, name: str) -> None:
    """It tells that the test above can fail, and what a reload does in both directions."""
    far = FORBIDDEN[name](site)
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "proof")}
    (tmp_path / "proof").write_text("proof")
    async with RunningRouter(tmp_path, document(site, far, None), environment=environment) as router:
        await until(lambda: site.far.accepted > 0, what="a helper's connection")
        router.write(document(site, far, ["eu"]))
        assert await router.router.reload(), router.config_error
        await asyncio.sleep(0.1)  # what was under way
        before, named = site.far.accepted, len(site.names)
        await asyncio.sleep(LONG_ENOUGH)
        assert site.far.accepted == before and "far.test" not in site.names[named:]
        router.write(document(site, far, ["eu", "us", "house"]))
        assert await router.router.reload(), router.config_error
        await until(lambda: site.far.accepted > before, what="a helper's connection after the rule has gone")


async def test_routes_with_different_zones_keep_what_one_of_them_may_ask(tmp_path: Path, site: Site) -> None:
    made = document(site, FORBIDDEN["probed cloud"](site), None)
    first = made["routes"][0]
    free = {**first, "name": "free", "match": {**first["match"], "models": ["free"]}}
    made["routes"] = [{**first, "dataZones": ["eu"]}, free]
    async with RunningRouter(tmp_path, made) as router:
        await site.near.stop_listening()
        assert site.far.accepted > 0, "it is probed, because one route may ask it"
        assert (await router.ask(chat())).status == 502
        assert not [seen for seen in site.far.requests if seen.method == "POST"]
        assert (await router.ask(chat(model="free"))).status == 200


async def test_a_backend_that_no_route_names_is_left_out_by_its_zone_alone(tmp_path: Path, site: Site) -> None:
    for zones, there in ((["eu"], False), (["eu", "us"], True)):
        made = document(site, FORBIDDEN["probed cloud"](site), zones)
        made["routes"][0]["tiers"] = made["routes"][0]["tiers"][:1]
        async with RunningRouter(tmp_path, made) as router:
            assert ("far" in router.table.backends) is there
            assert (site.far.accepted > 0) is there


@pytest.mark.interpreted
async def test_what_a_refused_configuration_names_is_not_looked_after(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused after its watches have begun, which is the last moment."""
    made = config(cloud(site.near.base_url, "near", **EU, url=PROBED))
    async with RunningRouter(tmp_path, made) as router:

        def refuses(*_: object) -> None:
            raise ConfigRejected("no table today")

        monkeypatch.setattr(server, "Table", refuses)
        router.write(document(site, FORBIDDEN["cloud with a name"](site), None))
        await until(lambda: router.config_error is not None, what="the refusal")
        before, named = site.far.accepted, len(site.names)
        await asyncio.sleep(LONG_ENOUGH)
        assert before and site.far.accepted == before and "far.test" not in site.names[named:]


# While the cloud is down, the outage watch looks for a way out by itself


HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@contextlib.asynccontextmanager
async def three_clouds() -> AsyncIterator[list[ScriptedUpstream]]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedUpstream(host=host)) for host in HOSTS]
        for server in servers[:2]:
            await server.stop_listening()
        yield servers


async def test_a_probe_of_an_outage_keeps_to_the_zones_of_who_asks(tmp_path: Path) -> None:
    """Two hosts in Europe are away; the third host is elsewhere, where this request may not go."""
    async with three_clouds() as servers, ScriptedUpstream() as local:
        names, zones = ("one", "two", "three"), ("eu", "eu", "us")
        backends = [cloud(s.base_url, name, dataZone=zone) for s, name, zone in zip(servers, names, zones, strict=True)]
        made = config(*backends, house(local.base_url))
        async with RunningRouter(tmp_path, made, bounds=Bounds(cloud_probe=0.1)) as router:
            for _ in range(2):
                kept = await router.ask(chat(), headers={"x-genset-data-zones": "eu, house"})
                assert kept.headers["x-genset-backend"] == "house"
            await asyncio.sleep(0.6)
            assert (await router.admin("/-/state")).json["outages"], "the switch is open"
            assert servers[2].accepted == 0, "a probe opened a connection to a zone that nobody has allowed"
            free = await router.ask(chat())
            assert free.headers["x-genset-reason"] == "egress_down"
            await until(lambda: servers[2].accepted > 0, what="a probe of the host that a request might have asked")
            await until(lambda: not router.router.parts.outages.cloud.down, what="the end of the outage")


async def test_a_refused_key_is_proved_where_it_was_met(tmp_path: Path) -> None:
    """What a request met is proved at its backend alone; the other cloud is not asked in its place."""
    async with ScriptedUpstream(default=Status(401)) as one, ScriptedUpstream() as two, ScriptedUpstream() as local:
        backends = [
            cloud(one.base_url, "one", **EU), cloud(two.base_url, "two", **US), house(local.base_url),
        ]  # fmt: skip
        async with RunningRouter(tmp_path, config(*backends)) as router:
            for _ in range(4):
                await router.ask(chat(), headers={"x-genset-data-zones": "eu, house"})
            await until(lambda: router.refusing == ["one"], what="the proof")
        assert two.accepted == 0
