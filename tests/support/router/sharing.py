"""Two real routers that share what they know of limits and budgets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from testbed.router import RunningRouter

TOKEN_FILE = "access.peers"


@contextlib.asynccontextmanager
async def two_routers(
    folder: Path, content: Callable[[dict[str, Any] | None], dict[str, Any]], files: dict[str, bytes] | None = None
) -> AsyncIterator[list[RunningRouter]]:
    """Yields two routers, each of which asks the other one. `content`: a configuration with these `peers`; None: with nobody."""
    given = {**(files or {}), TOKEN_FILE: b"a token of the routers"}
    for name in ("one", "two"):
        (folder / name).mkdir()
    async with (
        RunningRouter(folder / "one", content(None), given) as one,
        RunningRouter(folder / "two", content(None), given) as two,
    ):
        for router, other in ((one, two), (two, one)):
            dns = {"host": "127.0.0.1", "port": other.router.admin_port}
            router.write(content({"dns": dns, "tokenFile": TOKEN_FILE}))
        await asyncio.gather(one.router.reload(), two.router.reload())
        yield [one, two]
