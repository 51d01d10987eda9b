"""This module runs the router as a process: signals, and what is tuned once at the start."""

from __future__ import annotations

import asyncio
import gc
import signal

from genset.router.process.reload import ConfigSource
from genset.router.process.server import Router, ServerOptions


async def serve(source: ConfigSource, options: ServerOptions) -> None:
    """Runs until SIGTERM or SIGINT, drains, and returns; a second signal ends the drain.

    Raises ConfigRejected if `must_load` is set and the first load fails.
    """
    router = Router(source, options)
    leave = asyncio.Event()
    at_once = asyncio.Event()

    def on_signal() -> None:
        (at_once if leave.is_set() else leave).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, router.hang_up)
    await router.load()
    tune_gc()  # takes 30 ms, so it is done before anybody waits
    await router.listen()
    await leave.wait()
    drain = asyncio.ensure_future(router.drain())
    stop = asyncio.ensure_future(at_once.wait())
    await asyncio.wait({drain, stop}, return_when=asyncio.FIRST_COMPLETED)
    drain.cancel()
    stop.cancel()
    await router.stop()


def tune_gc() -> None:
    """Makes collections rare. What is loaded by now stays, and is never scanned again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
