"""These fakes stand in for what is not there: a kubelet with its controllers, routers, engines, a network that fails."""

from __future__ import annotations

import asyncio
import base64
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from genset import kinds, names
from genset.contracts.config_files import beside, unpacked
from genset.contracts.router_config import RouterConfig, config_hash, credentials_hash
from genset.kube.client import ApiServer
from genset.kube.observe import decoded
from testbed.cluster.controlplane import ControlPlane

Object = dict[str, Any]
Fault = Callable[[web.Request], web.StreamResponse | None]  # an answer instead of the API server's; None: pass on


_COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeKubelet:
    """Plays Deployment controller, scheduler and kubelet for one Deployment: makes pods and reports them ready."""

    def __init__(
        self, api: ApiServer, namespace: str, name: str, address: str = "127.0.0.1", node: str = "fake-node"
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._address = address
        self._node = node

    async def run(self, count: int, *, ready: bool = True) -> list[Object]:
        """Makes `count` pods from the Deployment's template and reports them."""
        deployment = await self._api.get(kinds.DEPLOYMENT, self._namespace, self._name)
        assert deployment is not None, f"there is no Deployment {self._name}"
        pods = [await self.pod(deployment, ready) for _ in range(count)]
        await self.report(count if ready else 0, count)
        return pods

    async def node_lost(self, pod: Object) -> None:
        """Says of a pod what the controller of nodes says once its node is lost."""
        ready, containers = (
            {"type": "Ready", "status": "False"},
            {"type": "ContainersReady", "status": "True", "lastTransitionTime": stamp()},
        )
        await self._status(kinds.POD, pod["metadata"]["name"], {"conditions": [ready, containers]})

    async def report(self, available: int, existing: int) -> None:
        """Writes the Deployment's status as its controller does."""
        deployment = await self._api.get(kinds.DEPLOYMENT, self._namespace, self._name)
        assert deployment is not None
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": existing,
            "updatedReplicas": existing,
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": existing - available,
        }
        await self._status(kinds.DEPLOYMENT, self._name, {key: value or None for key, value in status.items()})

    async def pod(self, deployment: Object, ready: bool) -> Object:
        """Makes one pod of a template."""
        template = deployment["spec"]["template"]
        name = f"{self._name}-{uuid.uuid4().hex[:6]}"
        spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name, "namespace": self._namespace},
            "spec": {**spec, "nodeName": self._node},
        }
        spec = (await self._api.create(kinds.POD, body))["spec"]  # with what a webhook has put into it
        state = {"running": {"startedAt": stamp()}}
        status = {
            "phase": "Running",
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()},
                {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp()},
            ],
            "initContainerStatuses": [
                {
                    "name": item["name"], "image": item["image"], "imageID": "", "ready": True, "restartCount": 0,
                    "started": item.get("restartPolicy") == "Always",
                    "state": state if item.get("restartPolicy") == "Always" else _COMPLETED,
                }
                for item in spec.get("initContainers") or ()
            ],
            "containerStatuses": [
                {
                    "name": item["name"], "image": item["image"], "imageID": "", "ready": ready, "restartCount": 0,
                    "started": True, "state": state,
                }
                for item in spec["containers"]
            ],
        }  # fmt: skip
        return await self._status(kinds.POD, name, status)

    async def _status(self, kind: kinds.Kind, name: str, status: Object) -> Object:
        return await self._api.request(
            "PATCH",
            kind.path(self._namespace, name, "status"),
            query={"fieldManager": "fake-kubelet"},
            body={"status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        )


class FakeVolumes:
    """Plays the kubelet's volume manager for one router pod, which then serves the refreshed files.

    A changed annotation refreshes them; without it nothing is refreshed.
    """

    def __init__(self, api: ApiServer, pod: Object, router: FakePod, delay: float = 0.05) -> None:
        self._api = api
        self._pod = pod
        self._router = router
        self._delay = delay  # seconds from the annotation to the refreshed files
        self.refreshes = 0

    async def refresh(self) -> None:
        """Reads ConfigMap and Secret as they are now, as a starting pod does."""
        spec, namespace = self._pod["spec"], self._pod["metadata"]["namespace"]
        volumes = {item["name"]: item for item in spec["volumes"]}
        config = await self._api.get(kinds.CONFIG_MAP, namespace, volumes["config"]["configMap"]["name"])
        secret = await self._api.get(kinds.SECRET, namespace, volumes["credentials"]["secret"]["secretName"])
        assert config is not None and secret is not None, "mounted objects exist before the pod"
        text = config["data"][names.ROUTER_CONFIG_FILE]
        if name := beside(text.encode()):
            text = unpacked(base64.b64decode(config["binaryData"][name])).decode()
        self._router.config = {
            "hash": config_hash(text),
            "credentialsHash": credentials_hash(decoded(secret)),
            "generation": RouterConfig.model_validate_json(text).policy.generation,
            "error": None,
        }
        self.refreshes += 1

    async def follow(self) -> None:
        """Runs until cancelled."""
        metadata = self._pod["metadata"]
        await self.refresh()
        last = metadata.get("annotations", {}).get(names.ANNOTATION_CONFIG_HASH)
        while True:
            await asyncio.sleep(0.02)
            live = await self._api.get(kinds.POD, metadata["namespace"], metadata["name"])
            now = (live or {}).get("metadata", {}).get("annotations", {}).get(names.ANNOTATION_CONFIG_HASH)
            if now != last:
                last = now
                await asyncio.sleep(self._delay)
                await self.refresh()


@dataclass
class FakePod:
    """A fake pod serves HTTP on a loopback address of its own: a router's admin port, an engine, or a puller."""

    address: str
    config: Object = field(default_factory=dict)  # what /-/config answers; {}: 503
    sees: Object = field(default_factory=dict)  # what it adds to that: outages, unknown
    demand: Object = field(default_factory=dict)  # what /-/demand answers; {}: 404, as an earlier version does
    progress: Object = field(default_factory=dict)
    adapters: Object = field(default_factory=dict)  # what /-/adapters answers; {}: 404, as an earlier version does
    metrics: str = ""  # what /metrics answers; "": 404
    completions: int = 0
    completion_status: int = 200
    asked: int = 0  # times that /-/config was read

    @asynccontextmanager
    async def listening(self, *ports: int) -> AsyncIterator[FakePod]:
        """Listens on these ports of its address."""
        app = web.Application()
        app.router.add_get("/-/config", self._config)
        app.router.add_get("/-/demand", self._demand)
        app.router.add_get("/-/progress", self._progress)
        app.router.add_get("/-/adapters", self._adapters)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._completion)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            for port in ports:
                await web.TCPSite(runner, self.address, port, reuse_address=True).start()
            yield self
        finally:
            await runner.cleanup()

    async def _config(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({**self.config, **self.sees}, status=200 if self.config else 503)

    async def _demand(self, _: web.Request) -> web.Response:
        return web.json_response(self.demand, status=200 if self.demand else 404)

    async def _progress(self, _: web.Request) -> web.Response:
        return web.json_response(self.progress, status=200 if self.progress else 503)

    async def _adapters(self, _: web.Request) -> web.Response:
        return web.json_response(self.adapters, status=200 if self.adapters else 404)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics, status=200 if self.metrics else 404)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "house"}]})

    async def _completion(self, _: web.Request) -> web.Response:
        self.completions += 1
        if self.completion_status != 200:
            return web.json_response({"error": {"message": "slot unavailable"}}, status=self.completion_status)
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": "p"}}]})


class FaultProxy:
    """Plain HTTP in front of the API server passes requests on with a client certificate, or fails them as told."""

    def __init__(self, plane: ControlPlane, user: str) -> None:
        self._plane = plane
        self._user = user
        self.fault: Fault = lambda _: None
        self.faults = 0  # answers that were made up
        self.server = ""

    @asynccontextmanager
    async def listening(self, folder: Path) -> AsyncIterator[Path]:
        """Yields the kubeconfig that leads through the proxy."""
        self._plane.client_config(self._user, self._user)
        pki = self._plane.folder / "pki"
        tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        tls.load_cert_chain(pki / f"{self._user}.crt", pki / f"{self._user}.key")
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0)) as session:
            self._session = session
            await site.start()
            self.server = f"http://127.0.0.1:{runner.addresses[0][1]}"
            kubeconfig = folder / "proxy.kubeconfig"
            kubeconfig.write_text(_KUBECONFIG.format(server=self.server))
            try:
                yield kubeconfig
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        made_up = self.fault(request)
        if made_up is not None:
            self.faults += 1
            return made_up
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        body = await request.read()
        try:
            async with self._session.request(
                request.method, f"{self._plane.server}{request.rel_url}", headers=headers, data=body or None,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=2),
            ) as upstream:  # fmt: skip
                passed = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP_BY_HOP}
                response = web.StreamResponse(status=upstream.status, headers=passed)
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None


def refusal(
    status: int, reason: str, headers: Mapping[str, str] | None = None, words: str = "made up by the test"
) -> web.Response:
    """Returns a failure in the form of the API server's own."""
    body = {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason,
        "message": f"{words}: {reason}",
    }  # fmt: skip
    return web.json_response(body, status=status, headers=headers)


_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "content-encoding"}
)
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: proxy, cluster: {{server: "{server}"}}}}]
users: [{{name: proxy, user: {{}}}}]
contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]
current-context: proxy
"""
