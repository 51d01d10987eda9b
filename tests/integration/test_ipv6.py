"""The operator and a router as processes, in a cluster of IPv6 alone: a real API server at ::1, its Services with IPv6."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from genset import kinds
from testbed.cluster.controlplane import ControlPlane
from testbed.router import free_port
from testbed.upstream.client import chat, request
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.integration.samples import model_deployment, route_policy, secret
from tests.support.integration.world import World, make_world, operator_kubeconfig, prepare

Object = dict[str, Any]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("ipv6"), address="::1") as started:
        prepare(started)
        yield started


@pytest_asyncio.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    async with make_world(plane) as made:
        yield made


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "genset", *arguments, env=ENVIRONMENT)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def status_of(url: str) -> int:
    try:
        return (await request(url)).status
    except OSError:
        return 0


@pytest.mark.timeout(180)
async def test_operator_and_router_work_without_ipv4(world: World, tmp_path: Path) -> None:
    health, metrics, data, admin = (free_port() for _ in range(4))
    async with (
        process(
            "operator", "--image", "registry.invalid/genset:test", "--kubeconfig", str(operator_kubeconfig(world.plane)),
            "--namespace", world.namespace, "--operator-namespace", "genset-system", "--secrets-seconds", "0.3",
            "--health-listen", f"[::]:{health}", "--metrics-listen", f"[::]:{metrics}",
            "--cluster-cidr", "fd00:96::/112", "--api-server-address", "fd00:96::1",
        ),
        ScriptedUpstream(host="::1") as upstream,
    ):  # fmt: skip

        async def ready() -> bool:
            return await status_of(f"http://[::1]:{health}/readyz") == 200

        await world.until("the operator is ready, and says so over IPv6", ready, seconds=60)
        assert await status_of(f"http://[::1]:{metrics}/metrics") == 200

        gateway = {"provider": "openAICompatible", "model": "m", "baseURL": "http://[fd00::7]:8080/v1"}
        server = {"provider": "openAICompatible", "model": "m", "baseURL": "http://[fd00:96::1]/v1"}
        spec: Object = {
            "backends": [
                {"name": "house", "deployment": {"name": "house"}},
                {"name": "gateway", "cloud": gateway},
                {"name": "server", "cloud": server},
            ],
            "routes": [{"name": "all", "tiers": [{"backends": [{"name": n}]} for n in ("house", "gateway", "server")]}],
            "router": {
                "trustedProxies": ["fd00::/8"],
                "service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]},
            },
        }
        await world.apply(model_deployment(world.namespace, "house"), secret(world.namespace))
        await world.apply(route_policy(world.namespace, "assistant", **spec))
        service = await world.until("there is a Service", lambda: world.get(kinds.SERVICE, "assistant-router"))
        assert service["spec"]["ipFamilies"] == ["IPv6"] and service["spec"]["clusterIP"].startswith("fd00:96::")

        refused = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False")
        assert (
            "spec.backends[server].cloud.baseURL: [fd00:96::1] is no address that routers may dial"
            in refused["message"]
        )
        policy = await world.until(
            "there is a NetworkPolicy", lambda: world.get(kinds.NETWORK_POLICY, "assistant-router")
        )
        block = {"to": [{"ipBlock": {"cidr": "fd00::7/128"}}], "ports": [{"port": 8080, "protocol": "TCP"}]}
        assert block in policy["spec"]["egress"]

        engine = await world.until("there is a Deployment", lambda: world.get(kinds.DEPLOYMENT, "house"))
        container = engine["spec"]["template"]["spec"]["containers"][0]
        assert {"name": "LISTEN_ADDRESS", "value": "::"} in container["env"] and "$(LISTEN_ADDRESS)" in container[
            "args"
        ]

        await _router_answers(world, tmp_path, upstream, data, admin)


async def _router_answers(world: World, tmp_path: Path, upstream: ScriptedUpstream, data: int, admin: int) -> None:
    """Runs a router as the pod does, from what the operator has made; only the engine's address is the test's."""
    made = await world.until("there is a ConfigMap", lambda: world.get(kinds.CONFIG_MAP, "assistant-router-config"))
    config = json.loads(made["data"]["router.json"])
    house = next(backend for backend in config["backends"] if backend["name"] == "house")
    assert "server" not in {backend["name"] for backend in config["backends"]}
    house["local"]["dns"] = {"host": "[::1]", "port": upstream.port}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "router.json").write_text(json.dumps(config))
    arguments = ("router", "--config-dir", str(tmp_path / "config"), "--access-log", "off")
    async with process(*arguments, "--listen", f"[::]:{data}", "--admin", f"[::]:{admin}"):

        async def ready() -> bool:
            return await status_of(f"http://[::1]:{admin}/-/ready") == 200

        await world.until("the router is ready", ready, seconds=60)
        answer = await request(f"http://[::1]:{data}/v1/chat/completions", chat(model="anything"))
        assert answer.complete and fault(answer.text, 10) is None
