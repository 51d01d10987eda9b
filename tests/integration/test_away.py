"""What an operator needs goes away and comes back: it says so in a line, and goes on by itself."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from genset import kinds
from testbed.cluster.controlplane import ControlPlane
from tests.support.integration import rbac, samples
from tests.support.integration.process import Process
from tests.support.integration.world import World, make_world, prepare

CRDS = str(Path(__file__).parents[2] / "crds")


async def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    return await asyncio.to_thread(plane.kubectl, *arguments, stdin=stdin)


@asynccontextmanager
async def running(plane: ControlPlane, folder: Path, *worlds: World) -> AsyncIterator[Process]:
    """An operator of its own process for these namespaces."""
    arguments = [word for world in worlds for word in ("--namespace", world.namespace)]
    process = Process(worlds[0], folder, "operator", "lease", *arguments, "--resync-seconds", "5")
    try:
        yield process
    finally:
        process.end()


async def serves(world: World, name: str) -> None:
    """A new resource is reconciled."""
    await world.apply(samples.model_deployment(world.namespace, name))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, name, "Accepted", "True", seconds=150)


async def bindings(plane: ControlPlane) -> list[dict[str, Any]]:
    """What gives the operator its rights."""
    found = json.loads(await kubectl(plane, "get", "clusterrolebindings,rolebindings", "-A", "-o", "json"))["items"]
    mine = [item for item in found if any(one.get("name") == rbac.USER for one in item.get("subjects") or ())]
    for item in mine:
        item["metadata"] = {key: item["metadata"][key] for key in ("name", "namespace") if key in item["metadata"]}
    return mine


async def unbind(plane: ControlPlane, found: list[dict[str, Any]]) -> None:
    for item in found:
        where = ["-n", item["metadata"]["namespace"]] if "namespace" in item["metadata"] else []
        await kubectl(plane, "delete", item["kind"].lower(), item["metadata"]["name"], *where)


async def bind(plane: ControlPlane, found: list[dict[str, Any]]) -> None:
    await kubectl(plane, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": found}))


async def get(world: World, process: Process, place: int, path: str, what: str, wanted: str) -> None:
    """Waits until a page of the operator holds some words. `place`: of its ports."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def told() -> bool:
            answer = await client.get(f"http://127.0.0.1:{process.ports()[place]}{path}")
            return wanted in answer.text

        await world.until(what, told, seconds=40)


@pytest.mark.timeout(600)
async def test_an_operator_outlives_all_that_it_needs(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "plane") as plane:
        prepare(plane)
        async with make_world(plane) as world, running(plane, tmp_path, world) as process:
            await serves(world, "first")
            await kubectl(plane, "delete", "crd", "--all", "--wait=false")
            await get(world, process, 0, "/readyz", "readiness names the CRDs", "CustomResourceDefinitions")
            await get(world, process, 0, "/metrics", "the metric says so", "genset_serving 0.0")
            await kubectl(plane, "apply", "--server-side", "-f", CRDS)
            await kubectl(plane, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
            await serves(world, "second")
            await get(world, process, 0, "/metrics", "the metric says so", "genset_serving 1.0")

            rights = await bindings(plane)
            await unbind(plane, rights)
            await get(world, process, 0, "/readyz", "readiness names the Lease", "Lease")
            await bind(plane, rights)
            await serves(world, "third")

            await asyncio.to_thread(plane.stop_apiserver)
            await get(world, process, 0, "/readyz", "readiness names the API server", "no answer from the API server")
            await asyncio.to_thread(plane.start_apiserver)
            await serves(world, "fourth")

            await unbind(plane, rights)  # as `helm uninstall` may, before the process ends
            assert await asyncio.to_thread(process.end, signal.SIGTERM) < 8
            assert process.process.returncode == 0
            await bind(plane, rights)
            lines = process.lines()
            assert any(line.startswith("Could not give the Lease back, because the rights") for line in lines)
            assert "Traceback" not in process.log.read_text()
            assert len(lines) < 120, "an outage is told, not repeated"


async def test_one_namespace_without_rights_takes_no_other_along(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "plane") as plane:
        prepare(plane)
        async with make_world(plane) as one, make_world(plane) as two:
            (everywhere,) = [item for item in await bindings(plane) if item["kind"] == "ClusterRoleBinding"]
            await unbind(plane, [everywhere])
            own = [
                {**everywhere, "kind": "RoleBinding", "metadata": {"name": "genset", "namespace": world.namespace}}
                for world in (one, two)
            ]
            await bind(plane, own)
            async with running(plane, tmp_path, one, two) as process:
                await serves(one, "first")
                await serves(two, "first")
                await unbind(plane, own[1:])
                await get(one, process, 0, "/metrics", "it is counted", "genset_unserved_namespaces 1.0")
                await serves(one, "second")

                async def told() -> bool:
                    return any(line.startswith("Serves the other namespaces") for line in process.lines())

                await one.until("the log says so", told, seconds=60)
                await serves(one, "third")
                await bind(plane, own)
                await serves(two, "second")
                await get(one, process, 0, "/metrics", "it is counted", "genset_unserved_namespaces 0.0")
            assert "Traceback" not in process.log.read_text()
