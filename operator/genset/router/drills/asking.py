"""Asking is what a drill does: small streaming requests, in turn to each route that the drill concerns, at an even pace."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from dataclasses import dataclass
from time import time
from typing import Final

import orjson

from genset.contracts.drill import DrillOrder
from genset.router.drills.world import DrillWorld
from genset.router.errors import ErrorAnswer
from genset.router.routing.route import Route
from genset.router.routing.table import estimate_tokens

ANSWER_TOKENS: Final = 16
MOST_AT_ONCE: Final = 64  # probes in work; with more waiting nothing new would be learned
_READ_BYTES: Final = 65_536
_KEPT_BYTES: Final = 65_536  # of an answer of a few tokens
#: A text of an answer, or of thoughts: what neither has is empty, however complete it looks.
_TEXT: Final = re.compile(rb'"(?:content|reasoning_content|reasoning|text|refusal)": ?"[^"]')
NAME: Final = "drill"  # where a route takes whatever begins with something, or everything


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """A drill's request is one that a route takes, as it is sent."""

    route: str
    head: bytes
    body: bytes

    def text(self, identity: str) -> bytes:
        lines = (
            b"host: drill\r\ncontent-type: application/json\r\nconnection: close\r\nx-request-id: %b\r\n"
            % identity.encode()
        )
        size = b"content-length: %d\r\n\r\n" % len(self.body)
        return b"POST /v1/chat/completions HTTP/1.1\r\n" + lines + self.head + size + self.body


def drill_requests(world: DrillWorld, order: DrillOrder) -> list[DrillRequest]:
    """Returns a request for each route whose first choice the drill takes away: the others would notice nothing.

    A route that answers something else than chats, that the drill's prompt has not the shape for, or that an earlier one hides,
    has none.
    """
    table, found = world.table, []
    for route in table.routes:
        first = [candidate.backend for candidate, _ in route.tiers[0]] if route.tiers else []
        chats = [backend for backend in first if backend.task in (None, "Chat")]
        if not any(backend.name in order.takes for backend in chats):
            continue
        model = _model(route)
        asked = {
            "model": model,
            "messages": [{"role": "user", "content": order.prompt}],
            "max_tokens": ANSWER_TOKENS,
            "stream": True,
        }
        tokens, headers = estimate_tokens(asked), dict(route.headers)
        shape = table.shape_of(asked, tokens, time)
        plan = table.plan(model, tokens, ANSWER_TOKENS, headers, lambda: 0.5, "Chat", asked, shape=shape)
        if not isinstance(plan, ErrorAnswer) and plan.route.name == route.name:
            head = b"".join(b"%b: %b\r\n" % header for header in route.headers)
            found.append(DrillRequest(route.name, head, orjson.dumps(asked)))
    return found


def _model(route: Route) -> str:
    """Returns a name by which a request gets to a route."""
    exact = next((name for name in route.config.match.models if not name.endswith("*")), None)
    if exact is not None:
        return exact
    return (route.prefixes[0] if route.prefixes else "") + NAME


class Asking:
    """Asking goes on until it is stopped. What becomes of the requests, the world's observer hears."""

    def __init__(self, world: DrillWorld, order: DrillOrder, asked: list[DrillRequest]) -> None:
        self._world = world
        self._order = order
        self._asked = asked
        self._running: set[asyncio.Task[None]] = set()
        self._number = 0

    async def go_on(self) -> None:
        """Asks until cancelled. A request that would be one too many at once is left out."""
        loop, pause = asyncio.get_running_loop(), 1 / self._order.probes_per_second
        due = loop.time()
        for request in itertools.cycle(self._asked):
            if len(self._running) < MOST_AT_ONCE:
                self._number += 1
                task = loop.create_task(self._ask(request, f"drill-{self._order.name}-{self._number}"))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            due = max(due + pause, loop.time())
            await asyncio.sleep(due - loop.time())

    async def settle(self, seconds: float) -> None:
        """Waits for what is in work, for so long; what is not answered then is given up."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=seconds)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running))

    async def _ask(self, request: DrillRequest, identity: str) -> None:
        reader, writer = await self._world.client()
        answer = b""
        try:
            with contextlib.suppress(OSError):
                writer.write(request.text(identity))
                while piece := await reader.read(_READ_BYTES):
                    answer = (answer + piece)[-_KEPT_BYTES:]
        finally:
            writer.close()
        if not _TEXT.search(answer):
            self._world.observer.said_nothing(identity.encode())
