"""A sense watch asks each endpoint of a model of the house whether it sees and hears: llama-server tells it at `/props`.

Others answer 404, and nothing is known of them. Source: llama.cpp tools/server/README.md, GET /props, `modalities`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from genset.router.backends.abilities import senses_untold
from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.pool import Pool
from genset.router.http.connect import ConnectFailed, Connector, NothingLeft
from genset.router.watch.own_request import get

AGAIN_SECONDS: Final = 10.0  # between two questions while nothing has come back: it is busy, or loads its model
PROPS_TIMEOUT_SECONDS: Final = 3.0
#: A template of prompts stands behind it, which may be longer than what is read of an answer; its quotes are escaped.
_MODALITIES: Final = re.compile(rb'(?<!\\)"modalities"\s{0,9}:\s{0,9}(\{[^{}]{0,999}\})')


class SenseWatch:
    """A sense watch looks after one backend; `watch.endpoint_watch` tells it of each probe. `before`: see AdapterWatch."""

    def __init__(self, backend: Backend, connector: Connector, now: Callable[[], float], before: Pool | None) -> None:
        self._backend = backend
        self._connector = connector
        self._now = now
        self._before = before
        self._path = backend.target.base_path.removesuffix("/v1") + "/props"
        self._asked: dict[Endpoint, float] = {}  # when those that have not answered may be asked again

    def took(self) -> None:
        """Looks over a new set of addresses: what the same ones have told before is still true."""
        pool = self._backend.pool
        if self._before is not None:
            pool.recall_senses(self._before)
            self._before = None
        self._asked = {endpoint: at for endpoint, at in self._asked.items() if endpoint in pool.endpoints}

    async def look(self, endpoint: Endpoint, *, good: bool) -> None:
        """Asks an endpoint whose probe was good what it perceives, once; after a bad probe it may be another process."""
        if not good:
            self._asked.pop(endpoint, None)
            return
        now = self._now()
        if now < self._asked.get(endpoint, 0.0):
            return
        self._asked[endpoint] = now + AGAIN_SECONDS
        try:
            async with asyncio.timeout(PROPS_TIMEOUT_SECONDS):
                answer = await get(self._connector, self._backend.target, endpoint, self._path)
        except (TimeoutError, NothingLeft, ConnectFailed, OSError):
            return
        if answer.status != 503:  # it loads its model
            self._asked[endpoint] = float("inf")
            endpoint.perceives(senses_of(answer.body) if answer.status == 200 else None)


def watched(backend: Backend) -> bool:
    """Returns whether the servers of a backend are asked: the policy does not say it, and their model may be shown something."""
    return backend.task in (None, "Chat") and bool(senses_untold(backend.config))


def senses_of(body: bytes) -> frozenset[str] | None:
    """Returns what a server says that its model perceives, in the words of capabilities; None if it says nothing of that."""
    found = _MODALITIES.search(body)
    if found is None:
        return None
    try:
        told: Any = orjson.loads(found.group(1))
    except orjson.JSONDecodeError:
        return None
    return frozenset(word for word in ("vision", "audio") if told.get(word) is True)
