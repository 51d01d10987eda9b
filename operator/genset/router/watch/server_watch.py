"""A server watch knows whether a server elsewhere really completes, for the operator, which asks no such server itself.

A client's answer proves it. Without one the router asks for one token of its own, once a minute at most: that may cost
money. A connection that cannot be made costs nothing, and is tried again sooner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from genset.contracts.router_admin import ServerReport
from genset.router.backends.backend import Backend
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.openai.api import api_for
from genset.router.dialects.openai.whole_answer import fault_of
from genset.router.dialects.upstream_error import refusal_words
from genset.router.http.connect import ConnectFailed, Connector
from genset.router.watch.own_request import OwnAnswer, least_answer

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0  # between two looks, of which most ask nothing
PROOF_SECONDS: Final = 60.0  # for which an answer proves that the server completes; between two questions
ANSWER_SECONDS: Final = 60.0  # for one short answer, also on a busy CPU


class ServerWatch:
    """A server watch looks after one backend. `now` gives monotonic seconds of the router's clock."""

    def __init__(self, backend: Backend, connector: Connector, now: Callable[[], float]) -> None:
        self._backend = backend
        self._connector = connector
        self._now = now
        self._due = 0.0  # when it may be asked again
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._due = self._now()
        self._task = asyncio.get_running_loop().create_task(self._look_forever())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("Failed to ask backend %s for a completion", self._backend.name)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        backend, now = self._backend, self._now()
        if not backend.endpoints:
            return
        endpoint = backend.endpoints[0]
        if endpoint.healthy is False:
            backend.standing.told_of(ServerReport(backend.name, False))
        elif endpoint.last_success >= 0 and now - endpoint.last_success < PROOF_SECONDS:
            backend.standing.told_of(ServerReport(backend.name, True))
        elif now >= self._due:
            report, reached = await self._asked()
            self._due = self._now() + (PROOF_SECONDS if reached else 0.0)
            backend.standing.told_of(report)

    async def _asked(self) -> tuple[ServerReport, bool]:
        """Returns what one small completion says, and whether it may have cost anything."""
        backend = self._backend
        api = api_for(backend.task)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await least_answer(self._connector, backend, backend.endpoints[0], api.path)
        except ConnectFailed:
            return ServerReport(backend.name, False), False
        except (OSError, Untranslatable):  # TimeoutError is an OSError
            return ServerReport(backend.name, False), True
        return report_of(backend.name, answer, api.part), True


def report_of(backend: str, answer: OwnAnswer, part: str) -> ServerReport:
    """Returns what an answer says: a completion, which holds the list `part`, a refusal in OpenAI's form, or nothing that may
    be told."""
    if answer.status == 200 and fault_of(answer.body, True, part=part) is None:
        return ServerReport(backend, True)
    words = refusal_words(answer.body)
    return ServerReport(backend, False, answer.status, words) if words else ServerReport(backend, False)
