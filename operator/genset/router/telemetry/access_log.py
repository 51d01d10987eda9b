"""The access log is one JSON line per request, rendered in batches and written by a thread.

It holds no text of prompts or answers. The event loop only serialises, and the thread only writes, so that it does not
hold the interpreter's lock while a pipe is full. What cannot be written is tried again and again. Meanwhile lines wait;
beyond a bound the oldest are dropped, and every dropped line is counted. No request waits for the log; whether requests
are refused without it is the policy's choice (`log.required`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any, Final

import orjson

from genset.router.errors import ErrorAnswer
from genset.router.exchange.record import Record
from genset.router.machine.final_error import detail_of

#: The fields of a line, with the text of docs/observability.md. Times are seconds.
FIELDS: Final = {
    "time": "When the request ended, seconds since 1970.",
    "id": "The x-request-id that the client got and the backend saw.",
    "client": "Address of the client: of its connection, or the one that a proxy of router.trustedProxies names.",
    "request": "Method and path, without the query, at most 128 characters of it; empty if none arrived.",
    "traceId": "Trace id of the caller's valid `traceparent`, or of the recorded span; empty if there is neither.",
    "operation": "`chat`, `text_completion` or `embeddings`; empty for everything that needs no model.",
    "route": "Route that took the request; empty if none did.",
    "model": "Model that the client named, at most 128 characters of it.",
    "stream": "Whether the client asked for a stream.",
    "status": "HTTP status; 499 if the client left before the answer was complete.",
    "error": "Word of the error vocabulary; empty for a whole answer. With status 200: the error inside the stream.",
    "backend": "Backend of the last attempt.",
    "tier": "Its tier, counted from 0.",
    "endpoint": "Address of the last attempt.",
    "reason": "Why no earlier backend answered.",
    "attempts": "The trail: backend, outcome and milliseconds of each attempt.",
    "continuations": "How often another attempt was asked to continue the answer.",
    "seconds": "From the arrival of the whole request to the end of its answer.",
    "queueSeconds": "Of these, waiting for a place in the router (limits.maxInFlight).",
    "waitedSeconds": "Of these, waiting for a backend: one at rest, or one whose endpoints were all full.",
    "firstTokenSeconds": "From the arrival to the first token; for an answer in one piece, to the answer.",
    "timePerOutputTokenSeconds": "Per token after the first one; streams only.",
    "inputTokens": "Tokens of the prompt as the backend counted them; 0 if it did not say.",
    "outputTokens": "Tokens of the answer as the backend counted them, or else the events of the stream.",
    "detail": "What went wrong at the last attempt that failed, with addresses; in quotes the backend's own error message, "
    "at most 512 characters of it, keys masked. It may quote the request.",
}
Line = dict[str, Any]
_dumps: Final = orjson.dumps
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE

WAITING_BATCHES = 256  # at most ten a second: half a minute without a reader, or with a full disk
WAITING_BYTES = 16 * 1024 * 1024  # of all batches together
#: Few at a time: thousands of lines as objects would be allocated and freed all the time.
RENDERED_LINES: Final = 64
RETRY_LEAST_SECONDS = 0.1  # after a failed write; doubled each time
RETRY_MOST_SECONDS = 5.0
CLOSE_SECONDS: Final = 1.0  # for what is left when the router stops
SLOW_FLUSHES: Final = 50  # flushes after the last dropped lines, for which the reader counts as too slow

log = logging.getLogger(__name__)


def line_of(record: Record, client: str, now: float, wall: float) -> Line:
    """Returns the line of a request that has ended, with `FIELDS` in their order."""
    machine = record.routed
    candidate = machine.candidate if machine is not None else None
    endpoint = machine.endpoint if machine is not None else None
    received, first = record.received, record.first_token
    given, made = record.tokens
    return {
        "time": wall,
        "id": record.identity.decode(),
        "client": client,
        "request": record.asked,
        "traceId": record.trace.decode(),
        "operation": record.operation,
        "route": record.route,
        "model": record.model[:128],
        "stream": record.stream,
        "status": record.status,
        "error": record.word,
        "backend": candidate.backend.name if candidate else "",
        "tier": candidate.tier if candidate else None,
        "endpoint": endpoint.name if endpoint else "",
        "reason": machine.reason if machine else "",
        "attempts": [step.told() for step in machine.trail] if machine else [],
        "continuations": machine.continuations if machine else 0,
        "seconds": now - received,
        "queueSeconds": (record.begun or now) - received if record.placed else 0.0,
        "waitedSeconds": record.waited,
        "firstTokenSeconds": first - received if first else None,
        "timePerOutputTokenSeconds": (
            (now - first) / (made - 1) if first and made > 1 and not record.in_one_piece else None
        ),
        "inputTokens": given,
        "outputTokens": made,
        "detail": detail_of(machine.last_failure) if machine and machine.last_failure else "",
    }


def short_line(
    identity: bytes, client: str, request: str, status: int, answer: ErrorAnswer | None, wall: float
) -> Line:
    """Returns the line of a request that no route has seen: refused, broken, or answered by the router itself."""
    return {
        "time": wall,
        "id": identity.decode(),
        "client": client,
        "request": request,
        "traceId": "",
        "operation": "",
        "route": "",
        "model": "",
        "stream": False,
        "status": status,
        "error": answer.kind.word if answer is not None else "",
        "backend": "",
        "tier": None,
        "endpoint": "",
        "reason": "",
        "attempts": [],
        "continuations": 0,
        "seconds": 0.0,
        "queueSeconds": 0.0,
        "waitedSeconds": 0.0,
        "firstTokenSeconds": None,
        "timePerOutputTokenSeconds": None,
        "inputTokens": 0,
        "outputTokens": 0,
        "detail": answer.message if answer is not None else "",
    }


class AccessLog:
    """The access log writes lines to a file descriptor.

    `dropped` counts the lines that were lost. Everything but `_write` and what it calls belongs to the event loop's
    thread; `_changed` guards what the two threads share.
    """

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._lines: list[Line] = []
        self._rendered = bytearray()
        self._waiting = 0  # lines that are rendered and not yet handed to the thread
        self._changed = threading.Condition()
        self._batches: deque[tuple[bytearray, int]] = deque()  # with the number of lines in each
        self._bytes = 0  # bytes of the batches
        self._problem = ""  # why the last write failed
        self._slow = 0  # flushes for which the reader still counts as too slow
        self._closing = threading.Event()
        self._told = ""  # what the process's own log was told last
        self._dropped_before = 0
        self._writing = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writing.start()

    def add(self, line: Line) -> None:
        self._lines.append(line)
        if len(self._lines) >= RENDERED_LINES:
            self._render()

    def flush(self) -> int:
        """Hands what has gathered to the thread. Returns how many of the oldest lines had to be dropped for it.

        The process's own log is told when the access log begins to fail, and when it works again.
        """
        self._render()
        lost = 0
        self._slow = max(0, self._slow - 1)
        if self._waiting:
            batch, self._rendered = self._rendered, bytearray()
            lines, self._waiting = self._waiting, 0
            with self._changed:
                self._batches.append((batch, lines))
                self._bytes += len(batch)
                while len(self._batches) > WAITING_BATCHES or self._bytes > WAITING_BYTES:
                    oldest, count = self._batches.popleft()
                    self._bytes -= len(oldest)
                    lost += count
                    self._slow = SLOW_FLUSHES
                self._changed.notify()
        self.dropped += lost
        self._tell()
        return lost

    @property
    def failing(self) -> str:
        """Returns why lines cannot be written now; empty if they can."""
        return self._problem or ("its reader is too slow" if self._slow else "")

    @property
    def crowded(self) -> bool:
        """The log is crowded if half of the room for waiting lines is taken."""
        return len(self._batches) > WAITING_BATCHES // 2 or self._bytes > WAITING_BYTES // 2

    def view(self) -> dict[str, Any]:
        """Returns the view for `/-/state`."""
        with self._changed:
            waiting = sum(lines for _, lines in self._batches)
        return {
            "failing": self.failing,
            "waitingLines": waiting + self._waiting + len(self._lines),
            "droppedLines": self.dropped,
        }

    def close(self) -> None:
        """Writes what is left, for at most CLOSE_SECONDS."""
        self.flush()
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._writing.join(CLOSE_SECONDS)

    def _render(self) -> None:
        self._waiting += len(self._lines)
        self._rendered += b"".join([_dumps(line, None, _OPTIONS) for line in self._lines])
        self._lines.clear()

    def _tell(self) -> None:
        """Tells the process's own log once when writing begins to fail, and once when it works again."""
        failing = self.failing
        if failing == self._told:
            return
        if not self._told:
            self._dropped_before = self.dropped
            log.error("Failed to write the access log: %s. Lines wait; if too many do, the oldest are dropped", failing)
        elif not failing:
            log.warning("Wrote the access log again; %d lines were lost meanwhile", self.dropped - self._dropped_before)
        self._told = failing

    # In the thread

    def _write(self) -> None:
        pause = RETRY_LEAST_SECONDS
        while True:
            with self._changed:
                while not self._batches and not self._closing.is_set():
                    self._changed.wait()
                if not self._batches:
                    return
                batch, lines = self._batches.popleft()
                self._bytes -= len(batch)
            rest = memoryview(batch)
            while rest:
                try:
                    written = os.write(self._descriptor, rest)  # no call inside a slice: compiled, it runs twice
                    rest = rest[written:]
                except OSError as problem:
                    self._problem = problem.strerror or str(problem)
                    if self._closing.wait(pause):
                        self.dropped += lines
                        return
                    pause = min(2 * pause, RETRY_MOST_SECONDS)
                else:
                    pause = RETRY_LEAST_SECONDS
                    self._problem = ""
