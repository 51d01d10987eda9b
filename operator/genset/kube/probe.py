"""The prober asks our own pods over HTTP: does an engine complete, what does a router serve, how far is a download.

Short time limits and a cap on parallel requests, because a probe holds up a worker. An answer that cannot be had is a
value here, never an exception: what it means is decided in `status`. On aiohttp, because routers are asked all the time:
one question costs 0.13 ms of CPU, where httpx with a pool of this size takes 4.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from genset import names
from genset.contracts.adapter_list import REPORT_PATH, AdapterReport
from genset.contracts.load import LOAD_PATH, LoadReport
from genset.contracts.puller import PROGRESS_PATH, DownloadProgress
from genset.contracts.reading import parsed
from genset.contracts.router_admin import CONFIG_PATH, DEMAND_PATH, ConfigReport, DemandReport
from genset.engines import CompletionRequest
from genset.kube.metrics import Metrics

QUICK_SECONDS = 1.0  # routers and pullers answer from memory
METRICS_SECONDS = 5.0  # an engine answers between two batches
PARALLEL = 64
KEPT_SECONDS = 15.0  # that a connection lives between two questions
PARALLEL_COMPLETIONS = 8  # a fleet that starts at once must not be answered by a storm of our own requests
SLEEP_SECONDS = 60.0  # hundreds of gigabytes go over PCIe in this time
LONGEST_BODY = 1 << 20
_UNTIMED = aiohttp.ClientTimeout(total=None)  # `asyncio.timeout` covers all of it


@dataclass(frozen=True)
class ProbeAnswer:
    """An answer is status and body of HTTP, or why there is none (`status` 0)."""

    status: int
    body: bytes = b""
    failure: str = ""
    seconds: float = 0.0  # that a completion took


class Prober:
    """A prober has one pool of connections for all probes. `close` it in the end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Pods are reached directly: a proxy for the internet must not see, or break, what stays in the house.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=PARALLEL, keepalive_timeout=KEPT_SECONDS, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self._completions = asyncio.Semaphore(PARALLEL_COMPLETIONS)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()

    async def completion(self, request: CompletionRequest) -> ProbeAnswer:
        """POSTs the engine's own small request to one of our pods."""
        sent = {"Content-Type": "application/json"}
        async with self._completions:
            began = time.monotonic()
            answer = await self._ask("completion", "POST", request.url, request.timeout_seconds, request.body, sent)
            return replace(answer, seconds=time.monotonic() - began)

    async def router_config(self, pod_ip: str) -> ConfigReport | None:
        """Returns what a router serves; None if it did not answer, or with something else."""
        url = f"http://{host(pod_ip)}:{names.ROUTER_ADMIN_PORT}{CONFIG_PATH}"
        answer = await self._ask("router_config", "GET", url, QUICK_SECONDS)
        return ConfigReport.from_json(answer.body) if answer.status == 200 else None

    async def router_demand(self, pod_ip: str) -> DemandReport | None:
        """Returns who asks a router for deployments that can rest; None if it did not answer, or with something else."""
        url = f"http://{host(pod_ip)}:{names.ROUTER_ADMIN_PORT}{DEMAND_PATH}"
        answer = await self._ask("router_demand", "GET", url, QUICK_SECONDS)
        return DemandReport.from_json(answer.body) if answer.status == 200 else None

    async def router_load(self, pod_ip: str) -> LoadReport:
        """Returns what a router's routes give, and how fast its backends write; nothing if it did not answer."""
        url = f"http://{host(pod_ip)}:{names.ROUTER_ADMIN_PORT}{LOAD_PATH}"
        answer = await self._ask("router_load", "GET", url, QUICK_SECONDS)
        return LoadReport.from_json(answer.body) if answer.status == 200 else LoadReport()

    async def metrics(self, pod_ip: str, port: int, path: str) -> bytes | None:
        """Returns the page of metrics of a pod of ours; None if it did not answer, or with something else."""
        answer = await self._ask("metrics", "GET", f"http://{host(pod_ip)}:{port}{path}", METRICS_SECONDS)
        return answer.body if answer.status == 200 else None

    async def asleep(self, pod_ip: str, port: int, path: str) -> bool | None:
        """Returns whether a server of ours sleeps; None if it did not answer, or with something else."""
        answer = await self._ask("asleep", "GET", f"http://{host(pod_ip)}:{port}{path}", QUICK_SECONDS)
        told = parsed(answer.body).get("is_sleeping") if answer.status == 200 else None
        return told if isinstance(told, bool) else None

    async def tell(self, pod_ip: str, port: int, path: str) -> bool:
        """POSTs to a path of a server of ours. Returns whether it took it: weights go and come in this time."""
        answer = await self._ask("tell", "POST", f"http://{host(pod_ip)}:{port}{path}", SLEEP_SECONDS)
        return answer.status == 200

    async def weights_progress(self, pod_ip: str) -> DownloadProgress | None:
        """Returns how far a puller is; None if it did not answer, or with something else."""
        url = f"http://{host(pod_ip)}:{names.WEIGHTS_PORT}{PROGRESS_PATH}"
        answer = await self._ask("weights", "GET", url, QUICK_SECONDS)
        return DownloadProgress.from_json(answer.body) if answer.status == 200 else None

    async def adapters(self, pod_ip: str) -> AdapterReport | None:
        """Returns what has become of a pod's list of adapters; None if it did not answer, or with something else."""
        url = f"http://{host(pod_ip)}:{names.WEIGHTS_PORT}{REPORT_PATH}"
        answer = await self._ask("adapters", "GET", url, QUICK_SECONDS)
        return AdapterReport.from_json(answer.body) if answer.status == 200 else None

    async def _ask(
        self,
        probe: str,
        method: str,
        url: str,
        seconds: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeAnswer:
        options: dict[str, Any] = {"data": body, "headers": headers, "allow_redirects": False}
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.request(method, url, timeout=_UNTIMED, **options) as answer,
            ):
                status, content = answer.status, await _beginning(answer.content)
        except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as failure:  # ValueError: a URL that is none
            self._metrics.probes.labels(probe=probe, result="unreachable").inc()
            return ProbeAnswer(0, failure=_words(failure, seconds))
        self._metrics.probes.labels(probe=probe, result="ok" if status == 200 else "refused").inc()
        return ProbeAnswer(status, content)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """Returns a body, or as much of it as we are willing to hold."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size >= LONGEST_BODY:
            break
    return b"".join(chunks)[:LONGEST_BODY]


def host(address: str) -> str:
    """Returns an IP address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _words(failure: Exception, seconds: float) -> str:
    if isinstance(failure, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        return str(failure.certificate_error)
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"could not connect to {failure.host}:{failure.port}: {_reason(failure.os_error)}"
    if isinstance(failure, aiohttp.InvalidURL):
        return f"{failure.url} is no URL"
    return str(failure) or type(failure).__name__


def _reason(error: OSError) -> str:
    """Returns the system's own words: asyncio's repeat the address instead."""
    plain = not isinstance(error, ssl.SSLError) and error.errno is not None and error.errno > 0  # DNS counts below zero
    return os.strerror(error.errno) if plain and error.errno else error.strerror or str(error)
