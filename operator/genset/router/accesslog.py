"""The access log: one JSON line per request, rendered in batches, written by a thread. No prompt and no answer text.

The loop only serialises; the thread only writes (it holds no lock of the interpreter while a pipe is full). When its
reader is too slow, lines are dropped and counted rather than requests delayed.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

import orjson

from genset.router.last_word import detail_of

if TYPE_CHECKING:
    from genset.router.wire.exchange import Exchange

#: What a line holds, and what docs/observability.md says of it. Times are seconds.
FIELDS: Final = {
    "time": "When the request ended, seconds since 1970.",
    "id": "The x-request-id that the client got and the backend saw.",
    "traceId": "Of the caller's valid `traceparent`, or of the span that was recorded; empty without either.",
    "operation": "`chat`, `text_completion` or `embeddings`.",
    "route": "Route that took the request; empty where none did.",
    "model": "Model that the client named, at most 128 characters of it.",
    "stream": "Whether the client asked for a stream.",
    "status": "HTTP status; 499 where the client left before the answer was complete.",
    "error": "Word of the error vocabulary; empty for a whole answer. With status 200: the error inside the stream.",
    "backend": "Backend of the last attempt.",
    "tier": "Its tier, counted from 0.",
    "endpoint": "Address of the last attempt.",
    "reason": "Why no earlier backend answered.",
    "attempts": "The trail: backend, outcome and milliseconds of each attempt.",
    "continuations": "How often another attempt was asked to write on.",
    "seconds": "From the arrival of the whole request to the end of its answer.",
    "queueSeconds": "Of them, waiting for a place in the router (limits.maxInFlight).",
    "waitedSeconds": "Of them, waiting for a backend: one at rest, or one whose endpoints were all full.",
    "firstTokenSeconds": "From the arrival to the first token; for an answer in one piece, to the answer.",
    "timePerOutputTokenSeconds": "After the first token; streams only.",
    "inputTokens": "Tokens of the prompt as the backend counted them; 0: not told.",
    "outputTokens": "Tokens of the answer as the backend counted them, or the events of a stream that told none.",
    "detail": "What went wrong at the last attempt that failed, with addresses; in quotes the backend's own error message, at "
    "most 512 characters of it, keys masked. It may quote the request.",
}
Line = dict[str, Any]
_dumps: Final = orjson.dumps
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE

WAITING_BATCHES = 256  # at four a second: a minute of a reader that sleeps
#: At once: thousands of lines as objects would be fetched from the system and given back all the time.
RENDERED_LINES: Final = 64


def line_of(exchange: Exchange, status: int, word: str, now: float, wall: float) -> Line:
    """The line of a request that has ended; `FIELDS` in their order."""
    machine = exchange.routed
    candidate = machine.candidate if machine is not None else None
    endpoint = machine.endpoint if machine is not None else None
    received, first = exchange.received, exchange.first_token
    given, made = exchange.tokens
    return {
        "time": wall,
        "id": exchange.identity.decode(),
        "traceId": exchange.trace.decode(),
        "operation": exchange.operation,
        "route": exchange.route,
        "model": exchange.model[:128],
        "stream": exchange.stream,
        "status": status,
        "error": word,
        "backend": candidate.backend.name if candidate else "",
        "tier": candidate.tier if candidate else None,
        "endpoint": endpoint.name if endpoint else "",
        "reason": machine.reason if machine else "",
        "attempts": machine.trail if machine else [],
        "continuations": machine.continuations if machine else 0,
        "seconds": now - received,
        "queueSeconds": (exchange.begun or now) - received if exchange.placed else 0.0,
        "waitedSeconds": exchange.waited_until(now),
        "firstTokenSeconds": first - received if first else None,
        "timePerOutputTokenSeconds": (
            (now - first) / (made - 1) if first and made > 1 and not exchange.in_one_piece else None
        ),
        "inputTokens": given,
        "outputTokens": made,
        "detail": detail_of(machine.last_failure) if machine and machine.last_failure else "",
    }


class AccessLog:
    """Lines go to a file descriptor. `dropped` is told how many lines were lost."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[Line] = []
        self._rendered = bytearray()
        self._waiting = 0  # lines that are rendered and not yet handed on
        self._batches: queue.Queue[bytearray | None] = queue.Queue(WAITING_BATCHES)
        self._writing = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writing.start()

    def add(self, line: Line) -> None:
        self._lines.append(line)
        if len(self._lines) >= RENDERED_LINES:
            self._render()

    def flush(self) -> int:
        """Hands what has gathered to the thread; the number of lines that had to be dropped."""
        self._render()
        if not self._waiting:
            return 0
        batch, self._rendered = self._rendered, bytearray()
        lines, self._waiting = self._waiting, 0
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            return lines
        return 0

    def _render(self) -> None:
        self._waiting += len(self._lines)
        self._rendered += b"".join([_dumps(line, None, _OPTIONS) for line in self._lines])
        self._lines.clear()

    def close(self) -> None:
        """Writes what is left; waits a second for it."""
        self.flush()
        try:
            self._batches.put_nowait(None)
        except queue.Full:
            return
        self._writing.join(1.0)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            rest = memoryview(batch)
            try:
                while rest:
                    written = os.write(self._descriptor, rest)
                    rest = rest[written:]
            except OSError:
                return  # the reader is gone; later lines are dropped and counted
