"""A router in a cluster dials no address that is off limits, whatever a name resolves to when it connects."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, pods
from testbed.upstream.client import chat
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.collector import Collector
from tests.support.router.names import Names, free_port, pod

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "gateway.example", "2130706433", "127.1"])
async def test_a_cloud_at_the_routers_own_loopback(tmp_path: Path, names: Names, host: str) -> None:
    names.known = {"gateway.example": ("127.0.0.1",), "2130706433": ("127.0.0.1",), "127.1": ("127.0.0.1",)}
    async with ScriptedUpstream() as upstream:
        content = config(cloud(f"http://{host}:{upstream.port}/v1"))
        async with RunningRouter(tmp_path, content, environment=IN_CLUSTER) as router:
            answer = await router.ask(chat())
            assert answer.status in (502, 503), answer
        assert not upstream.requests and not upstream.accepted
        async with RunningRouter(tmp_path, content) as laptop:
            assert (await laptop.ask(chat())).complete, "on a laptop it is nobody else's"


async def test_only_the_good_addresses_of_a_name_are_dialled(tmp_path: Path, names: Names) -> None:
    """The network is an administrator's own, and DNS names it first."""
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        bad, good = [await pod(stack, address, port) for address in ("127.0.0.2", "127.0.0.3")]
        names.known = {"mixed.example": ("127.0.0.2", "127.0.0.3")}
        content = config(cloud(f"http://mixed.example:{port}/v1"))
        content["forbiddenNetworks"] = ["127.0.0.2/32"]
        async with RunningRouter(tmp_path, content) as router:
            assert (await router.ask(chat())).complete
        assert good.requests and not bad.accepted


async def test_the_houses_own_pods_are_not_looked_at(tmp_path: Path, names: Names) -> None:
    async with ScriptedUpstream() as upstream:
        names.known = {"house.models.svc": ("127.0.0.1",)}
        content = config(pods("house.models.svc", upstream.port))
        async with RunningRouter(tmp_path, content, environment=IN_CLUSTER) as router:
            assert (await router.ask(chat())).complete


async def test_behind_a_proxy_the_name_is_looked_at_here(tmp_path: Path, names: Names) -> None:
    async with ScriptedUpstream() as upstream, ConnectProxy() as proxy:
        names.known = {"proxy.example": ("127.0.0.1",)}
        target = {"proxyUrl": f"http://proxy.example:{proxy.port}"}
        content = config(cloud(f"http://169.254.169.254:{upstream.port}/v1", url=target))
        async with RunningRouter(tmp_path, content, environment=IN_CLUSTER) as router:
            assert not (await router.ask(chat())).complete
        assert not proxy.tunnels and not upstream.accepted


@pytest.mark.parametrize("environment", [IN_CLUSTER, {}])
async def test_a_collector_at_the_routers_own_loopback(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with Collector() as collector, ScriptedUpstream() as upstream:
        telemetry: dict[str, Any] = {"otlpEndpoint": collector.url, "samplePercent": 100}
        content = config(pods("localhost", upstream.port), telemetry=telemetry)
        async with RunningRouter(tmp_path, content, environment=environment) as router:
            assert (await router.ask(chat())).complete
        assert bool(collector.spans) is not bool(environment)
