"""A process stops when a signal says so: everything that runs until then is ended and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable


class Signals:
    """These signals, SIGTERM and SIGINT, set the stop event; only in the main thread, where signals arrive."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._main = threading.current_thread() is threading.main_thread()

    def install(self) -> None:
        if self._main:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    def remove(self) -> None:
        if self._main:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)


async def until(stop: asyncio.Event, work: Awaitable[None], name: str) -> None:
    """Runs the work until the stop; what the work raises before that is raised."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait(), name=f"{name}-stop")
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        finished = task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    if finished:
        task.result()
