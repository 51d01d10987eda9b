"""A console on a real API server, with a real router and a real ledger, and people who may see more or less."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from genset import names
from genset.console.run import ConsoleOptions, serve
from genset.contracts.usage import line, opening
from testbed.cluster.controlplane import ControlPlane
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.integration.samples import model_deployment, route_policy
from tests.support.ledger import Traffic
from tests.support.ledger_process import LedgerProcess

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
USER = "console"
EVIL = "<script>alert(1)</script>"


def console_rules() -> list[Object]:
    """Returns what the chart lets the console do."""
    from tests.chart.conftest import one, render

    return list(one(render({"console": {"enabled": True}}), "ClusterRole", "genset-console")["rules"])


def own_address() -> str:
    """Returns an address of this machine that an EndpointSlice may have: no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    at = "2026-11-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


def slice_of(namespace: str, policy: str, address: str, pod: str = "router-1", name: str = "") -> Object:
    labels = {
        names.LABEL_ROUTE_POLICY: policy, names.LABEL_COMPONENT: names.COMPONENT_ROUTER,
        "kubernetes.io/service-name": f"{policy}-router",
    }  # fmt: skip
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": name or f"{policy}-router", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod}}
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


@dataclass
class Site:
    """A site is an API server with resources of two namespaces, and whoever may see what."""

    plane: ControlPlane
    folder: Path
    ledger: LedgerProcess
    traffic: Traffic
    url: str = ""
    router: RunningRouter | None = None
    upstreams: dict[str, ScriptedUpstream] = field(default_factory=dict)

    def kubectl(self, *arguments: str, item: Any = None) -> str:
        text = None if item is None else yaml.safe_dump_all(item if isinstance(item, list) else [item])
        return self.plane.kubectl(*arguments, stdin=text)

    def apply(self, *items: Object) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", item=list(items))

    def told(self, kind: str, namespace: str, name: str, status: Object) -> None:
        """Writes a status as the operator does."""
        self.kubectl(
            "-n",
            namespace,
            "patch",
            kind,
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": status}),
        )

    def token(self, namespace: str, account: str, *more: str) -> str:
        return self.kubectl("-n", namespace, "create", "token", account, *more).strip()

    async def signed_in(self, namespace: str, account: str, *, own: bool = True) -> httpx.AsyncClient:
        """Returns a client that has signed in, with a token for the console alone or one for the API server."""
        more = ("--audience", names.CONSOLE_AUDIENCE) if own else ()
        token = await asyncio.to_thread(self.token, namespace, account, *more)
        client = httpx.AsyncClient(base_url=self.url, timeout=30)
        answer = await client.post("/sign-in", data={"token": token, "to": "/fleet"}, headers={"origin": self.url})
        assert (answer.status_code, answer.headers.get("location")) == (303, "/fleet"), answer.text
        return client

    async def until(self, client: httpx.AsyncClient, path: str, pattern: str, seconds: float = 15.0) -> str:
        """Returns a page once it has this."""
        deadline, text = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            answer = await client.get(path)
            text = answer.text
            if answer.status_code == 200 and re.search(pattern, text, re.DOTALL):
                return text
            await asyncio.sleep(0.05)
        raise AssertionError(f"{path} never had {pattern!r} in {seconds:g} s: {text}")

    async def state(self) -> Any:
        """Returns what the router says of itself."""
        assert self.router is not None
        url = f"http://{own_address()}:{self.router.router.admin_port}/-/state"
        return json.loads((await request(url)).body)

    async def until_answered_by(self, backend: str) -> None:
        """Asks until this backend answers: one that was passed over comes back when its breaker lets it."""
        deadline = time.monotonic() + 60
        while await self.ask(1) != [backend]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)

    async def ask(self, count: int = 1) -> list[str]:
        """Asks the router; returns which backend has answered each."""
        assert self.router is not None
        url = f"http://{own_address()}:{self.router.router.listen_port}/v1/chat/completions"
        found = [await request(url, chat()) for _ in range(count)]
        return [one.headers.get("x-genset-backend", str(one.status)) for one in found]


def people(plane: ControlPlane) -> None:
    """Makes the console's own user, an auditor of everything, and a viewer of one namespace without what was used."""
    group = "rbac.authorization.k8s.io"

    def role(name: str, rules: list[Object]) -> Object:
        return {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}

    def binding(name: str, role: str, subject: Object, namespace: str = "") -> Object:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
        return {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [subject],
        }

    def account(namespace: str, name: str) -> Object:
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}

    resources = [f"{one}" for one in names.PLURALS.values()]
    see = {"apiGroups": [names.GROUP], "resources": resources, "verbs": ["get", "list", "watch"]}
    usage = {"apiGroups": [names.GROUP], "resources": ["routepolicies/usage"], "verbs": ["get"]}
    items = [
        role("console", console_rules()),
        role("see", [see]),
        role("see-usage", [see, usage]),
        binding("console", "console", {"apiGroup": group, "kind": "User", "name": USER}),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "law", "name": "auditor"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "plant", "name": "viewer"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "plant", "name": "nobody"}},
        binding("auditor", "see-usage", account("law", "auditor")),
        binding("viewer", "see", account("plant", "viewer"), "plant"),
    ]
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(items))


def resources(site: Site) -> None:
    """Makes what users and the operator would have written."""
    priced = {
        "provider": "openai",
        "model": "frontier-large",
        "credentialsSecretRef": {"name": "cloud", "key": "apiKey"},
    }
    backends = [
        {"name": "house", "deployment": {"name": "small"}},
        {"name": "paris", "dataZone": "eu", "cloud": {**priced, "model": "paris-1"}},
        {"name": "frontier", "dataZone": "us", "cloud": priced},
    ]
    tiers = [[["house"], ["paris", "frontier"]], [["house"]]]
    routes = [
        {
            "name": name,
            "match": {"models": [model]},
            "tiers": [{"backends": [{"name": one} for one in tier]} for tier in of],
        }
        for name, model, of in (("everyday", "counting", tiers[0]), ("files", "archive", tiers[1]))
    ]
    routes[1] |= {"dataZones": ["house"], "match": {"models": ["archive", EVIL]}}
    drills = [{"name": "cloud-gone", "schedule": "0 5 * * 1", "take": {"side": "Cloud"}, "fault": "Blackhole"}]
    site.apply(
        model_deployment("law", "small", model="qwen"),
        model_deployment("law", "loading"),
        model_deployment("plant", "vision"),
        route_policy("law", "assistant", backends=backends, routes=routes, drills=drills),
        route_policy("plant", "line", deployment="vision"),
    )
    gib = 2**30
    size = {"class": "Small", "speed": "Fast", "memoryBytes": 9 * gib, "parameters": 8 * 10**9}
    site.told("mdep", "law", "small", {
        "model": "qwen", "readyReplicas": 2, "desiredReplicas": 2, "size": size,
        "capacity": [{"node": one, "replicas": 1, "slots": 4, "tokensPerSecond": 41} for one in ("node-a", "node-b")],
        "weights": {"bytes": 5 * gib, "totalBytes": 5 * gib, "percent": 100},
        "conditions": [condition("Ready", "True", "Ready")],
    })  # fmt: skip
    site.told("mdep", "law", "loading", {
        "readyReplicas": 0, "desiredReplicas": 1, "weights": {"bytes": 2 * gib, "totalBytes": 5 * gib, "percent": 40},
        "conditions": [condition("Ready", "False", "Downloading", "40 % of 5 GiB are there")],
    })  # fmt: skip
    site.told("mdep", "plant", "vision", {
        "readyReplicas": 0, "desiredReplicas": 1,
        "conditions": [condition("Ready", "False", "NoNodeFits", f"no node has 80Gi; take a smaller model {EVIL}")],
    })  # fmt: skip
    losses = [
        {"kind": "House", "outcome": "Degraded", "tier": 2, "why": "paris and frontier answer", "lacks": ["sensitive"]},
        {"kind": "Cloud", "outcome": "Survives", "tier": 1, "why": "the house answers", "capacityPercent": 240},
    ]
    budget = {
        "name": "frontier-month", "state": "Warned", "amount": "500", "currency": "USD", "spent": "412.50", "left": "87.50",
        "percent": 82, "projected": "610.00", "windowBegin": "2026-11-01T00:00:00Z", "windowEnd": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    last = {
        "id": "cloud-gone-1", "began": "2026-11-23T05:00:00Z", "ended": "2026-11-23T05:02:00Z", "outcome": "Passed",
        "requests": {"asked": 60, "degraded": 4}, "rtoSeconds": 0.4, "detectionSeconds": 0.3, "giveBackSeconds": 2.0,
        "firstByteP50Seconds": 0.05, "firstByteP99Seconds": 0.4,
    }  # fmt: skip
    times = {"since": "2026-11-01T00:00:00Z", "next": "2026-12-07T05:00:00Z", "lastGood": last["ended"]}
    drill = {"name": "cloud-gone", **times, "last": last}
    only_house = {"kind": "House", "outcome": "Lost", "why": "no other zone is allowed"}
    site.told("rp", "law", "assistant", {
        "readyReplicas": 1, "replicas": 1, "url": "http://assistant-router.law.svc/v1", "dataZones": "eu,house,us",
        "houseShare": "62 % of everyday", "budgets": [budget], "drills": [drill],
        "coverage": [
            {"route": "everyday", "outcome": "Degraded", "losses": losses},
            {"route": "files", "outcome": "Lost", "losses": [only_house]},
        ],
        "conditions": [condition("Ready", "True", "Ready")],
    })  # fmt: skip
    site.told("rp", "plant", "line", {
        "readyReplicas": 0, "replicas": 0,
        "conditions": [condition("Ready", "False", "DeploymentNotReady", "backend house: ModelDeployment vision is not ready")],
    })  # fmt: skip


@contextlib.asynccontextmanager
async def running_router(site: Site, folder: Path) -> AsyncIterator[None]:
    """Runs the router of law/assistant, with a house and two clouds that the test scripts."""
    async with ScriptedUpstream() as first, ScriptedUpstream() as second, ScriptedUpstream() as third:
        site.upstreams = {"house": first, "paris": second, "frontier": third}
        document = config(
            house(first.url),
            cloud(second.url, "paris"),
            cloud(third.url, "frontier"),
            routes=[
                {
                    "name": "everyday",
                    "match": {"models": ["counting"]},
                    "tiers": [[{"backend": "house"}], [{"backend": "paris"}, {"backend": "frontier"}]],
                    "failover": {},
                }
            ],
        )
        document["policy"] = {"namespace": "law", "name": "assistant", "generation": 1}
        async with RunningRouter(folder, document, listen=own_address()) as site.router:
            yield


@contextlib.asynccontextmanager
async def running_console(site: Site, **more: Any) -> AsyncIterator[Site]:
    """Runs a console with the rights that the chart gives it, until the block ends."""
    token = site.folder / "reader"
    token.write_text(reader_token())
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    options = ConsoleOptions(
        **{
            "listen": ("127.0.0.1", 0),
            "kubeconfig": site.plane.client_config("console", USER),
            "ledger_url": site.ledger.url,
            "ledger_token_file": token,
            "router_admin_port": site.router.router.admin_port if site.router is not None else 9,
            **more,
        }
    )
    task = asyncio.create_task(serve(options, stop, port.set_result))
    try:
        await asyncio.wait({task, port}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        site.url = f"http://127.0.0.1:{port.result()}"
        await until_ready(site.url)
        yield site
    finally:
        stop.set()
        await task


async def until_ready(url: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient() as client:
        while (answer := await client.get(f"{url}/readyz")).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.05)


def reader_token() -> str:
    from genset.contracts.ledger import READER, token
    from tests.support.ledger_process import KEY

    return token(KEY, READER)


def booked(ledger: LedgerProcess) -> Traffic:
    """Has the ledger book what law's and plant's routers have used in the last hours, and what left the house."""
    traffic = Traffic()
    begin = time.time() - 20 * 60
    for policy, incarnation in (("law/assistant", "abc"), ("plant/line", "def")):
        traffic.policy = policy
        for at, one in enumerate(traffic.add(incarnation, 60)):
            one["time"] = begin + at * 15
        egress = left_the_house(policy, incarnation, traffic.spools[incarnation])
        for file, content in (*traffic.segments(incarnation), egress):
            ledger.post(file, 0, content, policy.partition("/")[0])
    return traffic


def left_the_house(policy: str, incarnation: str, requests: list[Object]) -> tuple[str, bytes]:
    """Returns the egress record of these requests: each attempt at a cloud takes half of its request's time."""
    lines, number = [opening(f"{incarnation}e", policy, f"router-{incarnation}", requests[0]["time"])], 0
    for one in requests:
        for at, attempt in enumerate(one.get("attempts", ())):
            if attempt["zone"] == "house":
                continue
            number += 1
            begun, ended = (one["time"] + one["seconds"] * share / 2 for share in (at, at + 1))
            host = {"host": f"api.{attempt['backend']}.example", "zone": attempt["zone"], "backend": attempt["backend"]}
            asked = {"consumer": one["consumer"], "route": one["route"], "request": one["request"], **host}
            first = {"kind": "begun", "n": number, "time": round(begun, 3), **asked, "bytesOut": 4 * attempt["prompt"]}
            last = {"kind": "ended", "n": number, "time": round(ended, 3), "bytesIn": 5 * attempt["completion"]}
            counts = {
                "inputTokens": attempt["prompt"],
                "outputTokens": attempt["completion"],
                "outcome": attempt["outcome"],
            }
            lines += [line(orjson.dumps(first)), line(orjson.dumps({**last, **counts}))]
    return f"egress-{incarnation}e-000001.log", b"".join(lines)
