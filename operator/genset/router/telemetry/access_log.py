"""The access log: one JSON line per request, rendered in batches, written by a thread. No prompt and no answer text.

The loop only serialises; the thread only writes (it holds no lock of the interpreter while a pipe is full). What cannot
be written is tried again and again; meanwhile lines wait, the oldest are dropped beyond a bound, and every dropped one
is counted. No request waits for the log; whether one is refused without it is the policy's choice (`log.required`).
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

#: What a line holds, and what docs/observability.md says of it. Times are seconds.
FIELDS: Final = {
    "time": "When the request ended, seconds since 1970.",
    "id": "The x-request-id that the client got and the backend saw.",
    "client": "Address of the client: of its connection, or what a proxy of router.trustedProxies says.",
    "request": "Method and path, without the query, at most 128 characters of it; empty where none arrived.",
    "traceId": "Of the caller's valid `traceparent`, or of the span that was recorded; empty without either.",
    "operation": "`chat`, `text_completion` or `embeddings`; empty for everything that needs no model.",
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

WAITING_BATCHES = 256  # at ten a second at most: half a minute of a reader that sleeps, or of a disk that is full
WAITING_BYTES = 16 * 1024 * 1024  # of all batches together
#: At once: thousands of lines as objects would be fetched from the system and given back all the time.
RENDERED_LINES: Final = 64
RETRY_LEAST_SECONDS = 0.1  # after a write that failed; then twice as long each time
RETRY_MOST_SECONDS = 5.0
CLOSE_SECONDS: Final = 1.0  # for what is left when the router stops
SLOW_FLUSHES: Final = 50  # since lines were dropped last: for so long the reader counts as too slow

log = logging.getLogger(__name__)


#: A line of which nothing is known. Each line begins as a copy of it: a dict that has to grow costs twice as much.
_EMPTY: Final[Line] = {
    "time": 0.0,
    "id": "",
    "client": "",
    "request": "",
    "traceId": "",
    "operation": "",
    "route": "",
    "model": "",
    "stream": False,
    "status": 0,
    "error": "",
    "backend": "",
    "tier": None,
    "endpoint": "",
    "reason": "",
    "attempts": (),
    "continuations": 0,
    "seconds": 0.0,
    "queueSeconds": 0.0,
    "waitedSeconds": 0.0,
    "firstTokenSeconds": None,
    "timePerOutputTokenSeconds": None,
    "inputTokens": 0,
    "outputTokens": 0,
    "detail": "",
}


def line_of(record: Record, client: str, now: float, wall: float) -> Line:
    """Returns the line of a request that has ended; `FIELDS` in their order."""
    line = _EMPTY.copy()
    line["time"] = wall
    line["id"] = record.identity.decode()
    line["client"] = client
    line["request"] = record.asked
    if record.trace:
        line["traceId"] = record.trace.decode()
    line["operation"] = record.operation
    line["route"] = record.route
    line["model"] = record.model[:128]
    line["stream"] = record.stream
    line["status"] = record.status
    line["error"] = record.word
    machine = record.routed
    if machine is not None:
        attempt = machine.candidates.attempt
        if attempt is not None:
            line["backend"] = attempt.candidate.backend.name
            line["tier"] = attempt.candidate.tier
            line["endpoint"] = attempt.endpoint.name
        line["reason"] = machine.reason
        line["attempts"] = [step.told() for step in machine.trail]
        line["continuations"] = machine.continuations
        failure = machine.last_failure
        if failure is not None:
            line["detail"] = detail_of(failure)
    received, first = record.received, record.first_token
    line["seconds"] = now - received
    if record.placed:
        line["queueSeconds"] = (record.begun or now) - received
    line["waitedSeconds"] = record.waited
    given, made = record.tokens
    if first:
        line["firstTokenSeconds"] = first - received
        if made > 1 and not record.in_one_piece:
            line["timePerOutputTokenSeconds"] = (now - first) / (made - 1)
    line["inputTokens"] = given
    line["outputTokens"] = made
    return line


def short_line(
    identity: bytes, client: str, request: str, status: int, answer: ErrorAnswer | None, wall: float
) -> Line:
    """Returns the line of a request that no route has seen: refused, broken, or answered by the router itself."""
    line = _EMPTY.copy()
    line["time"] = wall
    line["id"] = identity.decode()
    line["client"] = client
    line["request"] = request
    line["status"] = status
    if answer is not None:
        line["error"] = answer.kind.word
        line["detail"] = answer.message
    return line


class AccessLog:
    """Lines go to a file descriptor.

    `dropped` counts the lines that were lost. Everything but `_write` and what it calls belongs to the event loop's
    thread; the two share what `_changed` guards.
    """

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._lines: list[Line] = []
        self._rendered = bytearray()
        self._waiting = 0  # lines that are rendered and not yet handed on
        self._changed = threading.Condition()
        self._batches: deque[tuple[bytearray, int]] = deque()  # with the number of lines in each
        self._bytes = 0  # of the batches
        self._problem = ""  # why the last write failed
        self._slow = 0  # flushes for which the reader still counts as too slow
        self._closing = threading.Event()
        self._told = ""  # what the process's log was told last
        self._dropped_before = 0
        self._writing = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writing.start()

    def add(self, line: Line) -> None:
        self._lines.append(line)
        if len(self._lines) >= RENDERED_LINES:
            self._render()

    def flush(self) -> int:
        """Hands what has gathered to the thread, and says when the log fails and when it is well again. The number of
        lines that had to be dropped for it: the oldest ones."""
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
        """Why lines cannot be written now; empty while they are."""
        return self._problem or ("its reader is too slow" if self._slow else "")

    @property
    def crowded(self) -> bool:
        """Whether half of the room for lines that wait is taken."""
        return len(self._batches) > WAITING_BATCHES // 2 or self._bytes > WAITING_BYTES // 2

    def view(self) -> dict[str, Any]:
        """For `/-/state`."""
        with self._changed:
            waiting = sum(lines for _, lines in self._batches)
        return {
            "failing": self.failing,
            "waitingLines": waiting + self._waiting + len(self._lines),
            "droppedLines": self.dropped,
        }

    def close(self) -> None:
        """Writes what is left; waits a second for it."""
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
        """Once when it begins and once when it ends, in the process's own log."""
        failing = self.failing
        if failing == self._told:
            return
        if not self._told:
            self._dropped_before = self.dropped
            log.error("Failed to write the access log: %s. Lines wait, and are dropped when too many do", failing)
        elif not failing:
            log.warning("Wrote the access log again; %d lines were lost meanwhile", self.dropped - self._dropped_before)
        self._told = failing

    # The thread

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
