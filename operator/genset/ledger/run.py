"""This module runs the ledger as a process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from genset.ledger.database import Database
from genset.ledger.server import Server
from genset.stopping import Signals


async def serve(database: Database, key_file: Path, listen: tuple[str, int]) -> None:
    """Serves until SIGTERM or SIGINT. Raises LedgerError, or OSError if it cannot listen."""
    stop = asyncio.Event()
    signals = Signals(stop)
    signals.install()
    try:
        await asyncio.to_thread(database.open)
        server = Server(database, key_file)
        await server.start(*listen)
        try:
            await stop.wait()
        finally:
            await server.stop()
    finally:
        signals.remove()
        database.close()
