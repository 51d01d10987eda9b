"""This module runs the ledger as a process."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from genset.ledger.database import Database, LedgerError
from genset.ledger.retention import Retention, RetentionDays
from genset.ledger.server import Server
from genset.stopping import Signals

RETENTION_SECONDS: Final = 600.0  # between two looks for what is old
SLICE_PAUSE_SECONDS: Final = 0.2  # between two slices, in which routers have their turn

log = logging.getLogger(__name__)


async def serve(database: Database, key_file: Path, listen: tuple[str, int], kept: RetentionDays) -> None:
    """Serves until SIGTERM or SIGINT. Raises LedgerError, or OSError if it cannot listen."""
    stop = asyncio.Event()
    signals = Signals(stop)
    signals.install()
    try:
        await asyncio.to_thread(database.open)
        server = Server(database, key_file)
        await server.start(*listen)
        tidying = asyncio.create_task(_tidy(server, Retention(database, kept, time.time, time.monotonic)))
        try:
            await stop.wait()
        finally:
            tidying.cancel()
            await server.stop()
    finally:
        signals.remove()
        database.close()


async def _tidy(server: Server, retention: Retention) -> None:
    """Takes away what is old, slice by slice, in the thread that writes."""
    while True:
        more = False
        try:
            more = await server.writer.do(retention.step)
        except LedgerError as problem:
            log.warning("Took nothing away: %s", problem)
        except Exception:
            log.exception("Took nothing away")
        await asyncio.sleep(SLICE_PAUSE_SECONDS if more else RETENTION_SECONDS)
