"""The access log: one JSON line per request, rendered in batches, written by a thread.

The loop only serialises; the thread only writes (it holds no lock of the interpreter while a pipe is full). When its
reader is too slow, lines are dropped and counted rather than requests delayed.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

import orjson

#: What a line holds. Times in seconds (`time`: since 1970); `attempts` is the trail; `detail` tells of the last
#: failure what no client should read (addresses).
FIELDS = (
    "time", "id", "route", "model", "stream", "status", "error", "backend", "tier", "endpoint", "reason", "attempts",
    "seconds", "firstTokenSeconds", "inputTokens", "outputTokens", "detail",
)  # fmt: skip
Line = tuple[Any, ...]
_OPTIONS = orjson.OPT_APPEND_NEWLINE

WAITING_BATCHES = 256  # at four a second: a minute of a reader that sleeps


class AccessLog:
    """Lines go to a file descriptor. `dropped` is told how many lines were lost."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[Line] = []
        self._batches: queue.Queue[bytes | None] = queue.Queue(WAITING_BATCHES)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        self._lines.append(line)

    def flush(self) -> int:
        """Hands what has gathered to the thread; the number of lines that had to be dropped."""
        lines = self._lines
        if not lines:
            return 0
        self._lines = []
        batch = b"".join([orjson.dumps(dict(zip(FIELDS, line, strict=True)), option=_OPTIONS) for line in lines])
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            return len(lines)
        return 0

    def close(self) -> None:
        """Writes what is left; waits a second for it."""
        self.flush()
        try:
            self._batches.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(1.0)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            rest = memoryview(batch)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                return  # the reader is gone; later lines are dropped and counted
