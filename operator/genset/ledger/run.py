"""This module runs the ledger as a process."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from genset.ledger.database import Database, LedgerError
from genset.ledger.metrics import LedgerCollector, exposition
from genset.ledger.otari import OtariExport, OtariFailed, OtariTarget
from genset.ledger.otlp import MetricsExport
from genset.ledger.retention import Retention, RetentionDays
from genset.ledger.server import Server
from genset.stopping import Signals

RETENTION_SECONDS: Final = 600.0  # between two looks for what is old
PASS_ON_SECONDS: Final = 5.0  # between two looks for what Otari does not have yet
LONGEST_PAUSE_SECONDS: Final = 300.0  # between two trials while it takes nothing
SLICE_PAUSE_SECONDS: Final = 0.2  # between two slices, in which routers have their turn

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outward:
    """What a ledger tells others of what it books, if they want it. `metrics`: where /metrics is answered."""

    metrics: tuple[str, int] | None = None
    otlp: str = ""  # base URL of a collector
    otari: OtariTarget | None = None


async def serve(
    database: Database, key_file: Path, listen: tuple[str, int], kept: RetentionDays, outward: Outward = Outward()
) -> None:
    """Serves until SIGTERM or SIGINT. Raises LedgerError, or OSError if it cannot listen."""
    stop = asyncio.Event()
    signals = Signals(stop)
    signals.install()
    try:
        await asyncio.to_thread(database.open)
        server = Server(database, key_file)
        await server.start(*listen)
        otari = OtariExport(database, outward.otari) if outward.otari is not None else None
        collector = LedgerCollector(server.tally, server.writer, database.file, otari.counts if otari else None)
        if outward.metrics is not None:
            await server.start_metrics(*outward.metrics, exposition(collector))
        metrics = MetricsExport(outward.otlp, server.tally) if outward.otlp else None
        tasks = [asyncio.create_task(_tidy(server, Retention(database, kept, time.time, time.monotonic)))]
        if otari is not None:
            tasks.append(asyncio.create_task(_pass_on(server, otari)))
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await server.stop()
            if metrics is not None:
                await asyncio.to_thread(metrics.close)
    finally:
        signals.remove()
        database.close()


async def _pass_on(server: Server, otari: OtariExport) -> None:
    """Passes on what is booked: at once while there is more, and after longer and longer pauses while nobody takes it."""
    pause = PASS_ON_SECONDS
    while True:
        more = False
        try:
            last = await asyncio.to_thread(otari.step)
            if last is not None:
                await server.writer.do(partial(otari.done, last))
            more, pause = last is not None, PASS_ON_SECONDS
        except (OtariFailed, LedgerError):
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except Exception:
            log.exception("Passed nothing on to Otari")
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(0 if more else pause)


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
