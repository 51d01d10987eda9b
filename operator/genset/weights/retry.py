"""Decides when to try again, and when to stop: trouble of networks and servers passes, everything else does not.

A run gives up after `patience` seconds without any progress; every byte that arrives starts the count anew. The
kubelet then restarts the container with a back-off of its own, and the download resumes.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from genset.weights.failure import WeightsFailure
from genset.weights.progress import ProgressLog

_log = logging.getLogger(__name__)


class Transient(Exception):
    """This trouble may pass. `failure` is what it becomes when patience ends; `wait` is what the server asked for."""

    def __init__(self, failure: WeightsFailure, *, wait: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.wait = wait


@dataclass(frozen=True)
class Retry:
    """A retry has its limits in seconds, and what makes tests fast and repeatable."""

    patience: float = 120.0
    first: float = 1.0
    longest: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


class Attempts:
    """The attempts of one piece of work have waits between them."""

    def __init__(self, retry: Retry, progress: ProgressLog) -> None:
        self._retry = retry
        self._progress = progress
        self._failed = 0
        self._since = retry.clock()

    def succeeded(self) -> None:
        """Notes that progress was made: the next trouble is the first."""
        self._failed = 0
        self._since = self._retry.clock()
        if self._progress.snapshot().reason:
            self._progress.update(reason="", message="")

    def wait(self, trouble: Transient) -> None:
        """Sleeps before the next attempt, or raises the failure if patience is over."""
        retry = self._retry
        backoff = min(retry.longest, retry.first * 2**self._failed) * (0.5 + retry.jitter() / 2)
        self._failed += 1
        seconds = max(backoff, trouble.wait or 0.0)
        left = self._since + retry.patience - retry.clock()
        if seconds > left:
            raise trouble.failure from trouble
        self._progress.update(
            reason=trouble.failure.reason.value, message=f"{trouble.failure.message}; tries again in {seconds:.0f} s"
        )
        _log.warning("Failed attempt %d, tries again in %.1f s: %s", self._failed, seconds, trouble.failure.message)
        retry.sleep(seconds)
