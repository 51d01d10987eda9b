"""Routers are asked at their admin port: often those that somebody looks at, once in a while the others.

Where they are, EndpointSlices tell. Whoever may write one in a namespace could point it anywhere: no address that is off limits
is asked, and an answer counts only if it is that of a router of the same namespace and policy. An answer may be of any size, and
is read up to a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp

from genset import names
from genset.console import numbers
from genset.console.following import Key
from genset.console.heard import HeardRouter
from genset.contracts.router_admin import CONFIG_PATH, ConfigReport
from genset.contracts.router_state import STATE_PATH, RouterState
from genset.off_limits import OffLimits

WATCHED_SECONDS: Final = 1.0  # between two questions to a router that somebody looks at
OTHER_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 2.0
ANSWER_BYTES: Final = 2 * 1024 * 1024
PARALLEL: Final = 16
MOST_ROUTERS: Final = 2000
METRICS_PATH: Final = "/metrics"
SERVICE_LABEL: Final = "kubernetes.io/service-name"  # of EndpointSlices, by their controller
Told = Callable[[HeardRouter, "numbers.RouterNumbers | None"], None]


class BadAnswer(Exception):
    """A router has not answered as routers do. The message says how."""


@dataclass
class _Router:
    """A router that is asked. `due`: when next, in seconds of the process's clock."""

    heard: HeardRouter
    due: float = 0.0


class RouterPolls:
    """The polls ask all routers that EndpointSlices name. `told` hears each answer; `looked_at` says whether somebody looks."""

    def __init__(
        self,
        told: Told,
        looked_at: Callable[[str], bool],
        off_limits: OffLimits,
        port: int = names.ROUTER_ADMIN_PORT,
    ) -> None:
        self._told = told
        self._looked_at = looked_at
        self._off_limits = off_limits
        self._port = port
        self._slices: dict[Key, dict[str, _Router]] = {}  # by pod
        self._slots = asyncio.Semaphore(PARALLEL)
        self._asking: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None

    def changed(self, key: Key, item: Mapping[str, Any] | None) -> None:
        """Hears of an EndpointSlice."""
        before = self._slices.pop(key, {})
        if item is not None:
            found = {one.heard.pod: one for one in _routers(item, self._off_limits)}
            for pod, one in found.items():
                if (known := before.get(pod)) is not None and known.heard.address == one.heard.address:
                    found[pod] = known
            self._slices[key] = found

    def routers(self) -> list[HeardRouter]:
        """Returns the routers that there are."""
        found = [one.heard for held in self._slices.values() for one in held.values()]
        return sorted(found, key=lambda one: (one.namespace, one.policy, one.pod))[:MOST_ROUTERS]

    async def ask_forever(self) -> None:
        """Asks whoever is due, ten times a second."""
        # Pods are reached directly: a proxy for the internet must not see, or break, what stays in the house.
        connector = aiohttp.TCPConnector(limit=PARALLEL, keepalive_timeout=15.0)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as self._client:
            while True:
                now = time.monotonic()
                for one in [one for held in self._slices.values() for one in held.values() if one.due <= now]:
                    policy = f"{one.heard.namespace}/{one.heard.policy}"
                    one.due = now + (WATCHED_SECONDS if self._looked_at(policy) else OTHER_SECONDS)
                    task = asyncio.create_task(self._ask(one))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)
                await asyncio.sleep(0.1)

    async def _ask(self, one: _Router) -> None:
        try:
            async with self._slots:
                config = ConfigReport.from_json(await self._get(one, CONFIG_PATH))
                if config is None:
                    raise BadAnswer("what answers at its address is no router")
                if (config.namespace, config.name) != (one.heard.namespace, one.heard.policy):
                    raise BadAnswer("what answers at its address is a router of another policy, or has none yet")
                state = RouterState.from_json(await self._get(one, STATE_PATH))
                counted = numbers.read(await self._get(one, METRICS_PATH))
        except BadAnswer as problem:
            one.heard = replace(one.heard, problem=str(problem))
            self._told(one.heard, None)
            return
        one.heard = replace(one.heard, at=time.time(), problem="", config=config, state=state)
        self._told(one.heard, counted)

    async def _get(self, one: _Router, path: str) -> bytes:
        """Returns a page. Raises BadAnswer."""
        assert self._client is not None
        host = f"[{one.heard.address}]" if ":" in one.heard.address else one.heard.address
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with self._client.get(
                f"http://{host}:{self._port}{path}", timeout=timeout, allow_redirects=False, auto_decompress=False
            ) as answer:
                if answer.status != 200:
                    raise BadAnswer(f"{path} was answered with {answer.status}")
                return await _bounded(answer, path)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            words = f"{path}: {failure}" if str(failure) else f"{path} was not answered in {ANSWER_SECONDS:g} s"
            raise BadAnswer(words[:200]) from failure


async def _bounded(answer: aiohttp.ClientResponse, path: str) -> bytes:
    """Returns the body. One that is longer than the bound is not read to its end: the connection is closed."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > ANSWER_BYTES:
            answer.close()
            raise BadAnswer(f"{path} was answered with more than {ANSWER_BYTES // 2**20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _routers(item: Mapping[str, Any], off_limits: OffLimits) -> Iterator[_Router]:
    """Yields the routers that a slice names, if it is that of the Service that clients dial: others name the same pods."""
    labels, namespace = item["metadata"].get("labels") or {}, str(item["metadata"].get("namespace", ""))
    policy = labels.get(names.LABEL_ROUTE_POLICY)
    if not policy or labels.get(SERVICE_LABEL) != f"{policy}{names.ROUTER_SUFFIX}":
        return
    for endpoint in item.get("endpoints") or ():
        with contextlib.suppress(LookupError, TypeError, AttributeError):
            address = str(endpoint["addresses"][0])
            pod = str((endpoint.get("targetRef") or {}).get("name") or address)
            problem = "its address is off limits" if off_limits.holds(address) else ""
            heard = HeardRouter(namespace, str(policy), pod, address, problem=problem)
            yield _Router(heard, float("inf") if problem else 0.0)
