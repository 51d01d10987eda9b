"""The operator with a fleet whose pods exist: thousands of them, on nodes that only pretend to run.

API server, controllers, scheduler and operator are real. The pods' addresses are the loopback's, where one server of this process
answers the operator's completions for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.fleet import AT_ONCE, NAMESPACE, OperatorProcess, connected, until
from bench.install import ROOT
from genset import kinds, names
from genset.kube.client import ApiServer
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.kwok import Kwok, node
from testbed.resources import model_deployment, namespace

log = logging.getLogger(__name__)

PODS_OF_A_NODE = 100
LOOPBACK = "127.64.0.0/12"
RESYNC_SECONDS = 60
#: Endpoints must not be of the loopback: their controllers would try again for ever. The operator asks pods, not Services.
_NO_ENDPOINTS = ("endpointslice-controller", "endpoints-controller", "endpointslice-mirroring-controller")
PROGRESS_SECONDS = 30.0  # between two lines of the log
_FOLDER: dict[str, Any] = {"hostPath": {"path": "/models/model.gguf"}}


@dataclass(frozen=True)
class CrowdResult:
    """MiB of resident memory; seconds; `writes`: of the operator in `watched` seconds at rest."""

    deployments: int
    pods: int
    nodes: int
    applied_seconds: float
    ready_seconds: float  # from the first apply until every ModelDeployment is Ready
    cpu_seconds: float  # of the operator, until then
    idle_mib: float
    peak_mib: float
    watched: float
    rest_cpu_seconds: float  # of the operator, in `watched` seconds
    resyncs: int
    writes: int


@contextlib.asynccontextmanager
async def engines() -> AsyncIterator[None]:
    """Serves what every pod of the fleet would: a completion, and a health path."""

    async def complete(request: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": "x"}}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", names.ENGINE_PORT, backlog=4096).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def measure(folder: Path, deployments: int, replicas: int, watched: float) -> CrowdResult:
    """One fleet, from nothing to rest."""
    nodes = -(-deployments * replicas // PODS_OF_A_NODE)
    plane = ControlPlane(
        folder / "control-plane", controller_manager=True, scheduler=True, without_controllers=_NO_ENDPOINTS
    )
    with plane, Kwok(plane, network=LOOPBACK) as kwok:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        for name in (NAMESPACE, "genset-system"):
            plane.kubectl("create", "namespace", namespace(name)["metadata"]["name"])
        kwok.add(node(f"node-{number:04d}", cpu="512", memory="2Ti") for number in range(nodes))
        operator = OperatorProcess(plane, folder, RESYNC_SECONDS, "--allow-host-path")
        try:
            async with connected(plane.kubeconfig, plane.context) as api, engines():
                await until("the operator to be ready", operator.ready, 600)
                return await _measure(plane, operator, api, deployments, replicas, nodes, watched)
        finally:
            operator.end()


async def _measure(
    plane: ControlPlane,
    operator: OperatorProcess,
    api: ApiServer,
    deployments: int,
    replicas: int,
    nodes: int,
    watched: float,
) -> CrowdResult:
    began, slots = time.monotonic(), asyncio.Semaphore(AT_ONCE)

    async def apply(number: int) -> None:
        item = model_deployment(NAMESPACE, f"model-{number}", _FOLDER)
        item["spec"] |= {"replicas": replicas, "resources": {"cpu": "1", "memory": "1Gi"}}
        async with slots:
            await api.apply(kinds.MODEL_DEPLOYMENT, item, field_manager="user", force=True)

    await asyncio.gather(*map(apply, range(deployments)))
    applied = time.monotonic() - began

    told = began

    async def all_ready() -> bool:
        nonlocal told
        ready = sum(_is_ready(item) for item in await api.list(kinds.MODEL_DEPLOYMENT, NAMESPACE))
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            log.info("%d of %d are Ready; the operator has %.0f MiB", ready, deployments, operator.memory())
        return ready == deployments

    await until("every ModelDeployment to be Ready", all_ready, 3600, pause=3)
    ready, cpu = time.monotonic() - began, operator.cpu()

    async def calm() -> bool:
        position = plane.audit_position()
        await asyncio.sleep(10)
        return not plane.writes(position, "genset-operator")

    await until("ten seconds without a write", calm, 600)
    position, resyncs, before = plane.audit_position(), await operator.metric("genset_resync_total"), operator.cpu()
    await asyncio.sleep(watched)
    return CrowdResult(
        deployments=deployments,
        pods=deployments * replicas,
        nodes=nodes,
        applied_seconds=applied,
        ready_seconds=ready,
        cpu_seconds=cpu,
        idle_mib=operator.memory(),
        peak_mib=operator.memory("VmHWM"),
        watched=watched,
        rest_cpu_seconds=operator.cpu() - before,
        resyncs=int(await operator.metric("genset_resync_total") - resyncs),
        writes=len(plane.writes(position, "genset-operator")),
    )


def _is_ready(item: dict[str, Any]) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
