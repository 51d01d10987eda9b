"""An adapter watch asks each endpoint of a backend which of its LoRA adapters it has loaded.

Endpoints of one backend may differ: while a roll-out runs, the old ones lack what the new ones have, and llama-server's numbers
follow the order of a list that only the process knows. So a request for an adapter goes where it is loaded, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import orjson

from genset.contracts.config_parts import ADAPTERS_FOLDER
from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.pool import Pool
from genset.router.http.connect import ConnectFailed, Connector, NothingLeft
from genset.router.watch.own_request import get

log = logging.getLogger(__name__)

LIST_SECONDS: Final = 10.0  # between two looks at an endpoint that has loaded all; the others are asked at each probe
LIST_TIMEOUT_SECONDS: Final = 3.0  # llama-server answers between two steps of its model
_PATHS: Final = {"Models": "/v1/models", "Paths": "/lora-adapters"}


class AdapterWatch:
    """An adapter watch looks after the adapters of one backend; `watch.endpoint_watch` tells it of each probe.

    `adapters` are their backends, by name; `before` is the pool that an earlier configuration had.
    """

    def __init__(
        self,
        backend: Backend,
        adapters: Mapping[str, Backend],
        connector: Connector,
        now: Callable[[], float],
        before: Pool | None,
    ) -> None:
        self._backend = backend
        self._adapters = adapters
        self._connector = connector
        self._now = now
        self._before = before
        self._listed: dict[Endpoint, float] = {}

    def took(self) -> None:
        """Looks over a new set of addresses: what the same ones have told before is still true."""
        pool = self._backend.pool
        if self._before is not None:
            pool.recall(self._before)
            self._before = None
        self._listed = {endpoint: at for endpoint, at in self._listed.items() if endpoint in pool.endpoints}

    async def look(self, endpoint: Endpoint, *, good: bool) -> None:
        """Vouches for the adapters of an endpoint whose probe was good, and asks it for their list if that is due.

        After a bad one it may be another process that comes back, with other adapters.
        """
        if not good:
            self._listed.pop(endpoint, None)
            return
        kind, now = self._backend.config.adapter_list, self._now()
        if kind is not None and self._is_due(endpoint, now):
            try:
                async with asyncio.timeout(LIST_TIMEOUT_SECONDS):
                    answer = await get(self._connector, self._backend.target, endpoint, _PATHS[kind])
            except (TimeoutError, NothingLeft, ConnectFailed, OSError):
                answer = None  # it is busy, or has just gone: what is known of it stays
            if answer is not None and answer.status == 200:
                self._take(endpoint, _read(kind, answer.body))
                self._listed[endpoint] = now
        for adapter in self._adapters.values():
            adapter.vouched(endpoint, now)

    def _is_due(self, endpoint: Endpoint, now: float) -> bool:
        loaded, at = endpoint.loaded, self._listed.get(endpoint)
        return loaded is None or at is None or now - at >= LIST_SECONDS or not self._adapters.keys() <= loaded.keys()

    def _take(self, endpoint: Endpoint, loaded: dict[str, int] | None) -> None:
        before = endpoint.loaded
        if loaded is None or loaded == before:
            return
        endpoint.has_loaded(loaded)
        self._backend.pool.share_out()
        for name in self._adapters.keys() & (loaded.keys() - (before or {}).keys()):
            self._adapters[name].returned()
        known = " ".join(sorted(self._adapters.keys() & loaded.keys()))
        log.info("Found adapters at %s of backend %s: %s", endpoint.name, self._backend.name, known or "none")
        self._backend.line.wake()


def _read(kind: str, body: bytes) -> dict[str, int] | None:
    """Returns the adapters in an endpoint's list by name; None if it is no list."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if kind == "Models":
        told = told.get("data") if isinstance(told, dict) else None
    if not isinstance(told, list):
        return None
    return dict(_of_models(told) if kind == "Models" else _of_paths(told))


def _of_models(listed: list[Any]) -> Iterator[tuple[str, int]]:
    for number, entry in enumerate(listed):
        if isinstance(entry, dict) and isinstance(name := entry.get("id"), str):
            yield name, number


def _of_paths(listed: list[Any]) -> Iterator[tuple[str, int]]:
    """Yields the adapters of a llama-server. Those that nobody can ask for count, too: each request has to switch them off.

    A server that was started by hand names them by their files.
    """
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(number := entry.get("id"), int):
            continue
        path = PurePosixPath(str(entry.get("path")))
        folders = path.parts
        named = ADAPTERS_FOLDER in folders[:-2]
        yield folders[folders.index(ADAPTERS_FOLDER) + 1] if named else path.stem or f"/{number}", number
