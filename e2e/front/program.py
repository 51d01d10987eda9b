"""A program in front of a router, which takes connections while the block lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def listening(command: Sequence[str], port: int) -> AsyncIterator[None]:
    """Runs the command while the block lasts, which begins when somebody takes connections at `port`."""
    program = await asyncio.create_subprocess_exec(*command)

    async def listens() -> bool:
        assert program.returncode is None, f"{command[0]} refuses its configuration; it says why above"
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        async with asyncio.timeout(30):
            while not await listens():
                await asyncio.sleep(0.1)
        yield
    finally:
        if program.returncode is None:
            program.terminate()
        await program.wait()
