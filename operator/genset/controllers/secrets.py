"""Changed Secrets are noticed here, without the right to watch them.

The operator may only `get` Secrets, so those that resources name (and the routers' own credentials) are read by name,
every few seconds, metadata only. A reader whose last reconcile saw another version is enqueued. Those that a policy
selects by labels (access.consumerSelector) are listed, where the operator has been given that right.

There is a bound to what is read in a while, and namespaces have equal shares of it: one in which somebody names thousands of
Secrets waits for its own, and no other does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, islice, zip_longest

from genset import kinds
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References, SecretKey, Versions
from genset.kube.client import ApiError, ApiServer
from genset.kube.observe import labelled_secrets, versions

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
READS_PER_SECOND = 40.0  # a namespace with more Secrets than its share has some of them read in the next rounds
_PARALLEL = 4


async def poll(
    api: ApiServer, references: References, queue: WorkQueue[Key], *, period: float = PERIOD_SECONDS
) -> None:
    """Looks until cancelled."""
    turns = SecretTurns()
    most = max(1, int(PERIOD_SECONDS * READS_PER_SECOND))
    while True:
        await asyncio.sleep(period)
        await look(api, references, queue, turns.take(references.secrets(), most))


class SecretTurns:
    """The turns say which Secrets are read in this round: as many of each namespace as of any other, as far as it has them."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  # namespace -> the Secret of it that was read last

    def take(self, named: Iterable[SecretKey], most: int) -> list[SecretKey]:
        """Returns those of this round, at most `most`, each namespace's behind the last one of the round before."""
        by_namespace: defaultdict[str, list[str]] = defaultdict(list)
        for namespace, name in sorted(named):
            by_namespace[namespace].append(name)
        self._last = {namespace: name for namespace, name in self._last.items() if namespace in by_namespace}
        lines = (
            [(namespace, name) for name in self._rotated(namespace, names)]
            for namespace, names in self._ordered(by_namespace)
        )
        taken = list(islice(filter(None, chain.from_iterable(zip_longest(*lines))), most))
        for namespace, name in taken:
            self._last.pop(namespace, None)  # those that were read come last when not even one of each namespace fits
            self._last[namespace] = name
        return taken

    def _ordered(self, by_namespace: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
        """Returns the namespaces, those first that have waited longest."""
        turn = {namespace: place for place, namespace in enumerate(self._last)}
        return sorted(by_namespace.items(), key=lambda item: turn.get(item[0], -1))

    def _rotated(self, namespace: str, names: list[str]) -> list[str]:
        last = self._last.get(namespace, "")
        return [name for name in names if name > last] + [name for name in names if name <= last]


async def look(
    api: ApiServer, references: References, queue: WorkQueue[Key], taken: Iterable[SecretKey] | None = None
) -> None:
    """Makes one round: reads each Secret of it (None: all) once and enqueues the readers that know another version."""
    slots = asyncio.Semaphore(_PARALLEL)

    async def read(secret: SecretKey) -> None:
        async with slots:
            try:
                found = await api.get_metadata(kinds.SECRET, *secret)
            except ApiError as error:
                log.warning("Could not read Secret %s/%s: %s", *secret, error.message)
                return
        version = found["metadata"]["resourceVersion"] if found else None
        for key, seen in references.secrets().get(secret, ()):  # as of now: a reconcile may have run meanwhile
            if seen != version:
                log.info("Secret %s/%s changed, for %s", *secret, key)
                queue.add(key)

    async def select(key: Key, selector: str, seen: Versions) -> None:
        async with slots:
            try:
                found = await labelled_secrets(api, key.namespace, selector, metadata_only=True)
            except ApiError as error:
                log.warning("Could not list the Secrets that %s selects: %s", key, error.message)
                return
        if versions(found) != seen:
            log.info("Secrets that %s selects have changed", key)
            queue.add(key)

    await asyncio.gather(
        *(read(secret) for secret in (references.secrets() if taken is None else taken)),
        *(select(key, *selection) for key, selection in references.selections().items()),
    )
