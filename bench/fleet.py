"""Memory of an operator that looks after a fleet and has nothing to do: a process of its own, on a real kube-apiserver.

No node and no pod: what is measured is the operator, not what it makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.install import ROOT
from genset import kinds
from genset.desired import CHILD_KINDS
from genset.kube.client import ApiServer, load_configuration
from genset.kube.metrics import Metrics
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.ports import free_ports
from testbed.resources import model_deployment, namespace, route_policy

NAMESPACE = "fleet"
RESYNC_SECONDS = 10
AT_ONCE = 20  # requests by which the fleet is applied
MIB = 2**20
Object = dict[str, Any]


@dataclass(frozen=True)
class FleetResult:
    """MiB of resident memory; seconds."""

    model_deployments: int
    route_policies: int
    empty_mib: float  # ready, nothing to look after
    idle_mib: float  # everything reconciled, and a full resync behind it
    peak_mib: float
    children: int
    reconciled_seconds: float  # from the first apply until every resource has a status of its generation
    resync_seconds: float  # one full resync, CPU time of the operator


def resources(deployments: int, policies: int) -> list[Object]:
    """A fleet as users write it: a model from a web server each; a policy with the house first and a gateway behind."""
    source: Object = {"http": {"url": "http://artifacts.test/model.gguf", "sha256": "0" * 64}}
    fleet = [model_deployment(NAMESPACE, f"model-{number}", source) for number in range(deployments)]
    for number in range(policies):
        cloud = {"provider": "openAICompatible", "model": "large", "baseURL": "http://gateway.test/v1"}
        backends: list[Object] = [
            {"name": "house", "deployment": {"name": f"model-{number % max(deployments, 1)}"}},
            {"name": "gateway", "cloud": cloud},
        ]
        fleet.append(route_policy(NAMESPACE, f"policy-{number}", backends, "house", "gateway"))
    return fleet


class OperatorProcess:
    """`genset operator` with an administrator's kubeconfig."""

    def __init__(self, plane: ControlPlane, folder: Path, resync_seconds: int = RESYNC_SECONDS, *more: str) -> None:
        self.health, self.metrics = free_ports(2)
        self.log = folder / "operator.log"
        command = [
            sys.executable, "-m", "genset", "operator", "--kubeconfig", str(plane.kubeconfig), "--no-leader-election",
            "--image", "genset.test/genset:bench", "--engine-image", "llama.cpp/cpu=genset.test/llama.cpp:bench",
            "--operator-namespace", "genset-system", "--resync-seconds", str(resync_seconds),
            "--health-listen", f"127.0.0.1:{self.health}", "--metrics-listen", f"127.0.0.1:{self.metrics}",
            *more,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    def end(self) -> None:
        """SIGTERM, then SIGKILL after ten seconds."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory(self, field: str = "VmRSS") -> float:
        """MiB, as /proc/PID/status has it; VmHWM is the most so far."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"the operator has ended:\n{self.log.read_text(errors='replace')[-2000:]}")

    def cpu(self) -> float:
        """Seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def metric(self, name: str) -> float:
        """Sum over all series of a metric."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://127.0.0.1:{self.metrics}/metrics")).text
        lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def ready(self) -> bool:
        """Its own readiness."""
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{self.health}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path, context: str) -> AsyncIterator[ApiServer]:
    """A client of the API server that counts as a user."""
    api = ApiServer(await load_configuration(kubeconfig, context), Metrics(), user_agent="genset-bench")
    try:
        yield api
    finally:
        await api.close()


async def until(what: str, condition: Callable[[], Awaitable[bool]], seconds: float, pause: float = 0.25) -> float:
    """Waits for a condition; how long it took. TimeoutError naming it."""
    began = time.monotonic()
    while not await condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(pause)
    return time.monotonic() - began


async def measure(folder: Path, deployments: int, policies: int) -> FleetResult:
    """One fleet, from nothing to rest."""
    with ControlPlane(folder / "control-plane") as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for name in (NAMESPACE, "genset-system"):
            plane.kubectl("create", "namespace", namespace(name)["metadata"]["name"])
        operator = OperatorProcess(plane, folder)
        try:
            async with connected(plane.kubeconfig, plane.context) as api:
                return await _measure(plane, operator, api, resources(deployments, policies))
        finally:
            operator.end()


async def _measure(
    plane: ControlPlane, operator: OperatorProcess, api: ApiServer, fleet: Sequence[Object]
) -> FleetResult:
    await until("the operator to be ready", operator.ready, 30)
    await asyncio.sleep(3)  # its watches open, its first resync runs: memory of an operator without resources
    empty = operator.memory()
    began = time.monotonic()
    slots = asyncio.Semaphore(AT_ONCE)

    async def apply(item: Object) -> None:
        async with slots:
            await api.apply(kinds.kind_of(item), item, field_manager="user", force=True)

    await asyncio.gather(*map(apply, fleet))

    async def has_status() -> bool:
        for kind in (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY):
            for item in await api.list(kind, NAMESPACE):
                if (item.get("status") or {}).get("observedGeneration") != item["metadata"]["generation"]:
                    return False
        return True

    await until("a status on every resource", has_status, 120, pause=1)
    reconciled = time.monotonic() - began

    async def calm() -> bool:
        position = plane.audit_position()
        await asyncio.sleep(2)
        return not plane.writes(position, "genset-operator")

    await until("two seconds without a write", calm, 60)
    resyncs, cpu = await operator.metric("genset_resync_total"), operator.cpu()

    async def resynced() -> bool:
        return await operator.metric("genset_resync_total") >= resyncs + 2

    await until("two full resyncs", resynced, 10 * RESYNC_SECONDS)
    deployments = sum(item["kind"] == "ModelDeployment" for item in fleet)
    return FleetResult(
        model_deployments=deployments,
        route_policies=len(fleet) - deployments,
        empty_mib=empty,
        idle_mib=operator.memory(),
        peak_mib=operator.memory("VmHWM"),
        children=sum([len(await api.list(kind, NAMESPACE, metadata_only=True)) for kind in CHILD_KINDS]),
        reconciled_seconds=reconciled,
        resync_seconds=(operator.cpu() - cpu) / 2,
    )
