"""The watches of one session run here: Kopf's tasks from their begin to their very end, and what may be watched at all.

Kopf leaves watchers behind when one of them fails or its API server is away: they swallow a first cancellation, watch on for a
session that is over, and keep the process from ending. So each task that comes of them is known by the context in which it
was made, and cancelled until it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import kopf

from genset import handlers
from genset.controllers.inbox import Inbox
from genset.kube.client import ApiError, ApiServer
from genset.kube.metrics import Metrics

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0  # that Kopf's tasks are given to end
STOP_STEP = 0.2  # seconds between two cancellations of a task that goes on
REACH_SECONDS = 10.0  # between two looks whether namespaces can be watched
_LOST_LOOKS = 2  # in a row, after which a namespace counts as lost
_REFUSALS = frozenset({401, 403, 404})

Tasks = WeakSet["asyncio.Task[Any]"]
_OWNER: ContextVar[Tasks | None] = ContextVar("owner", default=None)


class ReachChanged(Exception):
    """Other namespaces can be watched than those that the session began with; the message says which."""


async def run(inbox: Inbox, api: ApiServer, namespaces: Sequence[str], after_start: Callable[[], None]) -> None:
    """Runs Kopf until cancelled. It ends only by failing. `namespaces`: empty for the whole cluster.

    Not `kopf.run_tasks`: when that ends, it cancels every task of the event loop that is younger than itself, ours
    among them.
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        loop.set_task_factory(_remembering)
    owned: Tasks = WeakSet()
    token = _OWNER.set(owned)
    try:
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(inbox, api.configuration),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
    finally:
        _OWNER.reset(token)
    after_start()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError("the watches ended")
    finally:
        await _end(owned)


def _remembering(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Makes a task as the loop does, and notes whose it is."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    owner = context.get(_OWNER) if context is not None else _OWNER.get()
    if owner is not None:
        owner.add(task)
    return task


async def _end(owned: Tasks) -> None:
    """Cancels tasks until none is left. Those that wait for a pause go with the watchers that they belong to: one that is
    cancelled before its watcher makes that take the cancellation for a pause."""
    deadline = asyncio.get_running_loop().time() + STOP_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        left = [task for task in owned if not task.done()]
        for task in owned:
            if task.done() and not task.cancelled():
                task.exception()  # one that nobody has asked for would be logged with its traceback
        if not left:
            return
        watchers = [task for task in left if not task.get_name().startswith("pause-waiter")]
        for task in watchers or left:
            task.cancel()
        await asyncio.wait(left, timeout=STOP_STEP)


class Reach:
    """The reach is what of the namespaces that are to be served can be watched now: CRDs and rights may come and go."""

    def __init__(self, api: ApiServer, metrics: Metrics, namespaces: Sequence[str | None]) -> None:
        self._api = api
        self._metrics = metrics
        self._namespaces = namespaces

    async def look(self) -> dict[str | None, str]:
        """Returns why namespaces cannot be watched, for those that cannot. Raises ApiError if the API server is away."""
        reasons = await asyncio.gather(*(self._why_not(namespace) for namespace in self._namespaces))
        missing = {name: why for name, why in zip(self._namespaces, reasons, strict=True) if why}
        self._metrics.unserved.set(len(missing))
        return missing

    async def keep_looking(self, missing: dict[str | None, str]) -> None:
        """Looks until cancelled. Raises ReachChanged when a namespace of `missing` can be watched, or another one no longer."""
        lost: dict[str | None, int] = {}
        while True:
            await asyncio.sleep(REACH_SECONDS)
            try:
                now = await self.look()
            except ApiError:
                continue  # the watches go on trying themselves
            found = [str(name) for name in missing if name not in now]
            if found:
                raise ReachChanged(f"{', '.join(found)} can be watched again")
            lost = {name: lost.get(name, 0) + 1 for name in now if name not in missing}
            gone = [name for name, looks in lost.items() if looks >= _LOST_LOOKS]
            if gone:
                raise ReachChanged(now[gone[0]])

    async def _why_not(self, namespace: str | None) -> str:
        where = f"namespace {namespace}" if namespace is not None else "the cluster"
        for kind in handlers.RESOURCES:
            try:
                await self._api.request("GET", kind.path(namespace), query={"limit": "1"})
            except ApiError as error:
                if error.status not in _REFUSALS:
                    raise
                return f"cannot watch {kind.plural} in {where}: {_words(error)}"
        return ""


def _words(error: ApiError) -> str:
    if error.not_found:
        return (
            "their CustomResourceDefinitions are not there; apply them: genset crds | kubectl apply --server-side -f -"
        )
    remedy = "give the operator its role back (helm upgrade does), or take the namespace out of watchNamespaces"
    return f"{' '.join(error.message.split())}; {remedy}"


def pick(namespaces: Sequence[str | None], missing: dict[str | None, str]) -> tuple[str | None, ...]:
    """Returns the namespaces that can be watched."""
    return tuple(namespace for namespace in namespaces if namespace not in missing)
