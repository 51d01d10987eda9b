"""Resources are followed by list and watch; whoever looks gets what is there at once, and how old it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from genset.console.heard import SourceHealth
from genset.kinds import Kind
from genset.kube.client import ApiError, ApiServer

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
#: What no page shows and every object has a lot of.
_DROPPED: Final = ("managedFields", "annotations", "ownerReferences", "finalizers")
Key = tuple[str, str]  # namespace and name


class Followed:
    """A kind of objects of one namespace, or of all. `changed` is called with each object, or None if it has gone."""

    def __init__(
        self,
        api: ApiServer,
        kind: Kind,
        namespace: str | None,
        changed: Callable[[Key, Mapping[str, Any] | None], None],
        selector: str = "",
    ) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._changed = changed
        self._selector = selector
        self._known: dict[Key, str] = {}  # resourceVersion
        self._at: float | None = None
        self._problem = "has not been listed yet"

    @property
    def health(self) -> SourceHealth:
        """Returns how old what is known is."""
        where = f" of namespace {self._namespace}" if self._namespace else ""
        return SourceHealth(f"{self._kind.kind}s{where}", time.time() if not self._problem else self._at, self._problem)

    async def follow(self) -> None:
        """Follows for ever; while the API server is away, what was known stays."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._once()
                pause = FIRST_PAUSE_SECONDS
            except ApiError as problem:
                if problem.status != 410:  # a watch that is too old is nothing special
                    self._fails(problem.message)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _fails(self, words: str) -> None:
        if not self._problem:
            self._at = time.time()
            log.warning("%s cannot be followed: %s", self._kind.plural, words)
        self._problem = words[:500]

    async def _once(self) -> None:
        """Lists, and watches until the watch ends well; then the next one goes on where it was."""
        items, since = await self._api.listed(self._kind, self._namespace, self._selector)
        found = {_key(item) for item in items}
        for key in self._known.keys() - found:
            self._gone(key)
        for item in items:
            self._there(item)
        self._problem = ""
        while True:
            async for kind, item in self._api.watch(self._kind, self._namespace, since, self._selector):
                since = str(item["metadata"].get("resourceVersion") or since)
                if kind == "DELETED":
                    self._gone(_key(item))
                elif kind in ("ADDED", "MODIFIED"):
                    self._there(item)

    def _there(self, item: Mapping[str, Any]) -> None:
        key, version = _key(item), str(item["metadata"].get("resourceVersion") or "")
        if self._known.get(key) == version:
            return
        self._known[key] = version
        metadata = {name: value for name, value in item["metadata"].items() if name not in _DROPPED}
        self._tell(key, {**item, "metadata": metadata})

    def _gone(self, key: Key) -> None:
        if self._known.pop(key, None) is not None:
            self._tell(key, None)

    def _tell(self, key: Key, item: Mapping[str, Any] | None) -> None:
        try:
            self._changed(key, item)
        except Exception:  # one object that nobody can show must not take everybody's pages away
            log.exception("%s %s/%s cannot be shown", self._kind.kind, *key)


def _key(item: Mapping[str, Any]) -> Key:
    return str(item["metadata"].get("namespace", "")), str(item["metadata"]["name"])


def namespaces(given: Sequence[str]) -> Sequence[str | None]:
    """Returns where is looked: the given namespaces, or None, which means all at once."""
    return given or (None,)
