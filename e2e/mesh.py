"""A stand-in for a service mesh, because none can be had offline: what Istio and its CNI plugin do to a pod, without mTLS.

A webhook puts a native sidecar first among a pod's init containers. Once that runs, each TCP connection to and from the pod is
redirected into it by iptables in the pod's network namespace, and it carries the bytes to where they were meant to go; the pod's
own loopback stays as it is. Until the redirection is made the sidecar has not started, and so nothing behind it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from genset import kinds
from genset.kube.client import ApiServer, load_configuration
from genset.kube.metrics import Metrics
from testbed.cluster.webhook import mutating
from testbed.house import House

Object = dict[str, Any]
NAME = "istio-proxy"
USER, INBOUND, OUTBOUND, HEALTH = 1337, 15006, 15001, 15021  # as Istio has them
_PROGRAM = f"""
import asyncio, json, signal, socket, struct

state = {{"redirected": False, "well": True, "in": 0, "out": 0}}

def meant(writer):
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_IP, 80, 16)  # SO_ORIGINAL_DST
    port, *address = struct.unpack("!2xH4B8x", raw)
    return ".".join(map(str, address)), port

async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()

def carry(way):
    async def one(reader, writer):
        try:
            there, back = await asyncio.open_connection(*meant(writer))
        except OSError:
            return writer.transport.abort()
        state[way] += 1
        await asyncio.gather(pump(reader, back), pump(there, writer))
        back.close()
        writer.close()
    return one

async def health(reader, writer):
    path = (await reader.readline()).decode().split()[1]
    while (await reader.readline()).strip():
        pass
    state["redirected"] |= path == "/redirected"
    if path in ("/ill", "/well"):
        state["well"] = path == "/well"
    is_ready = state["redirected"] and state["well"]
    body = json.dumps(state).encode()
    code = "200 OK" if is_ready or path != "/healthz/ready" else "503 Not ready"
    writer.write(f"HTTP/1.1 {{code}}\\r\\ncontent-length: {{len(body)}}\\r\\nconnection: close\\r\\n\\r\\n".encode() + body)
    await writer.drain()
    writer.close()

async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    for port, server in (({INBOUND}, carry("in")), ({OUTBOUND}, carry("out")), ({HEALTH}, health)):
        await asyncio.start_server(server, "0.0.0.0", port)
    await ended.wait()

asyncio.run(main())
"""
_REDIRECTION = (
    f"PREROUTING -p tcp --dport {HEALTH} -j RETURN",
    f"PREROUTING -p tcp -j REDIRECT --to-ports {INBOUND}",
    "OUTPUT -o lo -j RETURN",
    f"OUTPUT -m owner --uid-owner {USER} -j RETURN",
    f"OUTPUT -p tcp -j REDIRECT --to-ports {OUTBOUND}",
)


@dataclass
class Mesh:
    """A mesh knows the pods of its namespace whose traffic it carries."""

    house: House
    namespace: str
    joined: dict[str, str] = field(default_factory=dict)  # pod -> its address

    async def follow(self) -> None:
        """Makes the redirection of each new pod, until cancelled."""
        redirected: set[str] = set()
        told: set[tuple[str, int]] = set()  # a sidecar that is started again has forgotten it
        while True:
            for pod in await asyncio.to_thread(self.house.list, "pods", self.namespace):
                name, run = pod["metadata"]["name"], _run_of_sidecar(pod)
                if run is None or (name, run) in told:
                    continue
                if name not in redirected:
                    await asyncio.to_thread(_redirect, name)
                    redirected.add(name)
                with contextlib.suppress(httpx.TransportError):  # it runs, and does not listen yet
                    await asyncio.to_thread(self.ask, pod["status"]["podIP"], "/redirected")
                    told.add((name, run))
                    self.joined[name] = pod["status"]["podIP"]
            await asyncio.sleep(0.2)

    @staticmethod
    def ask(address: str, path: str) -> Object:
        """Asks a sidecar, and returns what it has carried."""
        with httpx.Client(trust_env=False, timeout=10) as http:
            found: Object = http.get(f"http://{address}:{HEALTH}{path}").json()
            return found

    def carried(self, selector: str) -> Object:
        """Returns what the sidecar of a pod that the labels select has carried."""
        pod = self.house.list("pods", self.namespace, selector)[0]["metadata"]["name"]
        return self.ask(self.joined[pod], "/carried")


@contextlib.asynccontextmanager
async def meshed(house: House, namespace: str, folder: Path) -> AsyncIterator[Mesh]:
    """Has every pod that is made in the namespace join the mesh."""
    mesh = Mesh(house, namespace)
    api = ApiServer(await load_configuration(house.kubeconfig, house.context), Metrics(), user_agent="mesh")
    try:
        async with mutating(api, namespace, folder, lambda pod: _inject(pod, house.image), kinds.POD):
            task = asyncio.create_task(mesh.follow())
            try:
                yield mesh
            finally:
                task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                if not isinstance(ended, asyncio.CancelledError):
                    print(f"nobody followed the pods: {ended!r}")  # with what failed for it
    finally:
        await api.close()


def _inject(pod: Object, image: str) -> list[Object]:
    """Returns the patch that puts the sidecar first; nothing if it is there."""
    inits = pod["spec"].get("initContainers") or []
    if any(container["name"] == NAME for container in inits):
        return []
    return [{"op": "add", "path": "/spec/initContainers", "value": [_sidecar(image), *inits]}]


def _sidecar(image: str) -> Object:
    probe = {"httpGet": {"path": "/healthz/ready", "port": HEALTH}, "periodSeconds": 1}
    return {
        "name": NAME,
        "image": image,
        "restartPolicy": "Always",
        "command": ["/opt/genset/bin/python3", "-c", _PROGRAM],
        "env": [{"name": "MESH_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "startupProbe": {**probe, "failureThreshold": 120},
        "readinessProbe": {**probe, "failureThreshold": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": USER,
            "runAsGroup": USER,
        },
    }


def _run_of_sidecar(pod: Object) -> int | None:
    """Returns how often a pod's sidecar was started again; None if it does not run."""
    status = pod.get("status") or {}
    for one in status.get("initContainerStatuses") or ():
        if one["name"] == NAME and "running" in one["state"] and status.get("podIP"):
            return int(one["restartCount"])
    return None


def _redirect(pod: str) -> None:
    process = _process_of(pod)
    for rule in _REDIRECTION:
        command = ["nsenter", "-t", process, "-n", "iptables", "-w", "10", "-t", "nat", "-A", *rule.split()]
        subprocess.run(command, check=True, capture_output=True)


def _process_of(pod: str) -> str:
    """Returns the process of a pod's sidecar on this machine, which is the node."""
    mark = f"MESH_POD={pod}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                return environment.parent.name
    raise LookupError(f"no process of pod {pod} on this machine")
