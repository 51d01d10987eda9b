"""The access log is one JSON line per request, written in batches by a thread.

It holds no text of prompts or answers. The event loop only gathers lines, and the thread only writes, so that it does not
hold the interpreter's lock while a pipe is full. What cannot be written is tried again and again. Meanwhile lines wait;
beyond a bound the oldest are dropped, and every dropped line is counted. No request waits for the log; whether requests
are refused without it is the policy's choice (`log.required`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

WAITING_BATCHES: Final = 256  # at most ten a second: half a minute without a reader, or with a full disk
WAITING_BYTES: Final = 16 * 1024 * 1024  # of all batches together
#: Few at a time, because thousands of objects would be allocated and freed all the time; not each, which costs twenty times more.
GATHERED_LINES: Final = 64
RETRY_LEAST_SECONDS: Final = 0.1  # after a failed write; doubled each time
RETRY_MOST_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0  # for what is left when the router stops
SLOW_FLUSHES: Final = 50  # flushes after the last dropped lines, for which the reader counts as too slow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The bounds are for lines that cannot be written now: how many wait, and when writing is tried again, in seconds."""

    batches: int = WAITING_BATCHES
    bytes: int = WAITING_BYTES
    retry_least: float = RETRY_LEAST_SECONDS
    retry_most: float = RETRY_MOST_SECONDS


DEFAULT: Final = LogBounds()


class _Notice:
    """A notice tells the process's own log once when the access log begins to fail, and once when it works again."""

    def __init__(self) -> None:
        self._told = ""  # what was told last
        self._dropped_before = 0

    def tell(self, failing: str, dropped: int) -> None:
        if failing == self._told:
            return
        if not self._told:
            self._dropped_before = dropped
            log.error("Failed to write the access log: %s. Lines wait; if too many do, the oldest are dropped", failing)
        elif not failing:
            log.warning("Wrote the access log again; %d lines were lost meanwhile", dropped - self._dropped_before)
        self._told = failing


class AccessLog:
    """The access log writes lines to a file descriptor.

    `dropped` counts the lines that were lost. Everything but `_write` and what it calls belongs to the event loop's
    thread; `_changed` guards what the two threads share.
    """

    def __init__(self, descriptor: int, bounds: LogBounds = DEFAULT) -> None:
        self.dropped = 0
        self._bounds = bounds
        self._descriptor = descriptor
        self._lines: list[bytes] = []  # that are not gathered yet
        self._gathered: list[
            bytes
        ] = []  # lines, GATHERED_LINES in a piece; one buffer that grows is copied again and again
        self._waiting = 0  # lines that were gathered and not yet handed to the thread
        self._changed = threading.Condition()
        self._batches: deque[tuple[bytes, int]] = deque()  # with the number of lines in each
        self._bytes = 0  # bytes of the batches
        self._problem = ""  # why the last write failed
        self._slow = 0  # flushes for which the reader still counts as too slow
        self._closing = threading.Event()
        self._notice = _Notice()
        self._writing = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writing.start()

    def add(self, line: bytes) -> None:
        """Takes one line, with its end."""
        self._lines.append(line)
        if len(self._lines) >= GATHERED_LINES:
            self._gather()

    def flush(self) -> int:
        """Hands what has gathered to the thread. Returns how many of the oldest lines had to be dropped for it.

        The process's own log is told when the access log begins to fail, and when it works again.
        """
        self._gather()
        lost = 0
        self._slow = max(0, self._slow - 1)
        if self._waiting:
            batch = b"".join(self._gathered)
            self._gathered.clear()
            lines, self._waiting = self._waiting, 0
            with self._changed:
                self._batches.append((batch, lines))
                self._bytes += len(batch)
                while len(self._batches) > self._bounds.batches or self._bytes > self._bounds.bytes:
                    oldest, count = self._batches.popleft()
                    self._bytes -= len(oldest)
                    lost += count
                    self._slow = SLOW_FLUSHES
                self._changed.notify()
        self.dropped += lost
        self._notice.tell(self.failing, self.dropped)
        return lost

    @property
    def failing(self) -> str:
        """Returns why lines cannot be written now; empty if they can."""
        return self._problem or ("its reader is too slow" if self._slow else "")

    @property
    def crowded(self) -> bool:
        """The log is crowded if half of the room for waiting lines is taken."""
        return len(self._batches) > self._bounds.batches // 2 or self._bytes > self._bounds.bytes // 2

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

    def _gather(self) -> None:
        if self._lines:
            self._waiting += len(self._lines)
            self._gathered.append(b"".join(self._lines))
            self._lines.clear()

    # In the thread

    def _write(self) -> None:
        pause = self._bounds.retry_least
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
                    pause = min(2 * pause, self._bounds.retry_most)
                else:
                    pause = self._bounds.retry_least
                    self._problem = ""
