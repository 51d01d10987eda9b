"""Progress says how far a download is: one thread-safe state, and log lines for people. `page` shows it to the operator."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from genset.contracts.puller import DownloadProgress, PartProgress
from genset.weights.failure import size_text

_log = logging.getLogger(__name__)

LOG_SECONDS = 5.0


class ProgressLog:
    """The progress log knows how far the download is: a snapshot for whoever asks, and a line of the log now and then.

    `clock` gives seconds that only grow; `verb` is what is done, in its lines.
    """

    def __init__(self, clock: Callable[[], float], verb: str = "Downloaded") -> None:
        self._clock = clock
        self._verb = verb
        self._lock = threading.Lock()
        self._snapshot = DownloadProgress("downloading")
        self._logged_at = clock()
        self._logged_bytes = 0
        self._before = 0  # bytes of parts that are whole

    def snapshot(self) -> DownloadProgress:
        with self._lock:
            return self._snapshot

    def update(
        self,
        *,
        state: str | None = None,
        received: int | None = None,
        total_bytes: int | None = None,
        revision: str | None = None,
        file: str | None = None,
        reason: str | None = None,
        message: str | None = None,
        parts: tuple[PartProgress, ...] | None = None,
    ) -> None:
        """Changes the given fields, and writes a log line if the last one is some seconds old."""
        given = {key: value for key, value in locals().items() if key != "self" and value is not None}
        with self._lock:
            for counted in ("received", "total_bytes"):
                if counted in given:
                    given[counted] += self._before
            self._snapshot = replace(self._snapshot, **given)
            now = self._clock()
            elapsed = now - self._logged_at
            if elapsed < LOG_SECONDS or received is None:
                return
            received = given["received"]
            rate = max(0.0, (received - self._logged_bytes) / elapsed)
            self._logged_at, self._logged_bytes = now, received
            snapshot = self._snapshot
        _log.info("%s", _line(snapshot, rate, self._verb))

    @contextmanager
    def behind(self, before: int) -> Iterator[None]:
        """Counts what comes now on top of the bytes of parts that are whole."""
        self._before = before
        try:
            yield
        finally:
            self._before = 0


def _line(snapshot: DownloadProgress, rate: float, verb: str) -> str:
    verb = "Verified" if snapshot.state == "verifying" else verb
    if not snapshot.total_bytes:
        return f"{verb} {size_text(snapshot.received)} of {snapshot.file} at {rate / 1e6:.1f} MB/s"
    percent = 100 * snapshot.received // snapshot.total_bytes
    left = (snapshot.total_bytes - snapshot.received) / rate if rate else 0
    eta = f", {_duration(left)} left" if rate else ", stalled"
    return (
        f"{verb} {percent}% of {snapshot.file}: {size_text(snapshot.received)} of {size_text(snapshot.total_bytes)} "
        f"at {rate / 1e6:.1f} MB/s{eta}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
