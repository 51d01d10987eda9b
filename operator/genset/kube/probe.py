"""HTTP to our own pods: does an engine complete, what does a router serve, how far is a download.

Short time limits and a cap on parallel requests, because a probe holds up a worker. An answer that cannot be had is a
value here, never an exception: what it means is decided in `status`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from genset import names
from genset.engines import CompletionRequest
from genset.kube.metrics import Metrics
from genset.tls import client_context

QUICK_SECONDS = 1.0  # routers and pullers answer from memory
PARALLEL = 64
PARALLEL_COMPLETIONS = 8  # a fleet that starts at once must not be answered by a storm of our own requests
LONGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Answer:
    """Status and body of an HTTP answer, or why there is none (`status` 0)."""

    status: int
    body: bytes = b""
    failure: str = ""


class Prober:
    """One pool of connections for all probes. `close` it in the end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        limits = httpx.Limits(max_connections=PARALLEL, max_keepalive_connections=PARALLEL, keepalive_expiry=10)
        # Pods are reached directly: a proxy for the internet must not see, or break, what stays in the house.
        self._client = httpx.AsyncClient(
            limits=limits, timeout=QUICK_SECONDS, trust_env=False, follow_redirects=False, verify=client_context()
        )
        self._completions = asyncio.Semaphore(PARALLEL_COMPLETIONS)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def completion(
        self, request: CompletionRequest, headers: Mapping[str, str], tls: ssl.SSLContext | None = None
    ) -> Answer:
        """POSTs the engine's own small request. `tls`: for a server under a private CA."""
        sent = {"Content-Type": "application/json", **headers}
        ask = ("completion", "POST", request.url, request.timeout_seconds, request.body, sent)
        async with self._completions:
            if tls is None:
                return await self._ask(self._client, *ask)
            async with httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False) as client:
                return await self._ask(client, *ask)

    async def router_config(self, pod_ip: str) -> Mapping[str, Any] | None:
        """What a router serves (`/-/config`); None: it did not answer."""
        url = f"http://{host(pod_ip)}:{names.ROUTER_ADMIN_PORT}/-/config"
        return _json(await self._ask(self._client, "router_config", "GET", url, QUICK_SECONDS))

    async def weights_progress(self, pod_ip: str) -> bytes | None:
        """How far a puller is (`/-/progress`), in its own JSON; None: it did not answer."""
        url = f"http://{host(pod_ip)}:{names.WEIGHTS_PORT}/-/progress"
        answer = await self._ask(self._client, "weights", "GET", url, QUICK_SECONDS)
        return answer.body if answer.status == 200 else None

    async def _ask(
        self,
        client: httpx.AsyncClient,
        probe: str,
        method: str,
        url: str,
        seconds: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                answer = await client.request(method, url, content=body, headers=headers, timeout=seconds)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as failure:
            self._metrics.probes.labels(probe=probe, result="unreachable").inc()
            return Answer(0, failure=_words(failure, seconds))
        self._metrics.probes.labels(probe=probe, result="ok" if answer.status_code == 200 else "refused").inc()
        return Answer(answer.status_code, answer.content[:LONGEST_BODY])


def host(address: str) -> str:
    """An IP address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _json(answer: Answer) -> Mapping[str, Any] | None:
    if answer.status != 200:
        return None
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _words(failure: Exception, seconds: float) -> str:
    if isinstance(failure, TimeoutError | httpx.TimeoutException):
        return f"no answer within {seconds:g} s"
    return str(failure) or type(failure).__name__
