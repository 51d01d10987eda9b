"""The steady part of a soak's load: the benchmark's own generator and upstream, which cost little beside the router.

It finds what the router can do on this machine, and then keeps it at half of that while the judged clients meet faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bench.install import load_generator

MODEL = "bench"
CONNECTIONS = 32
PATIENCE = "20s"


@dataclass
class Steady:
    """A load of requests that nothing disturbs."""

    binary: str
    upstream_port: int
    upstream: asyncio.subprocess.Process

    async def saturate(self, port: int, seconds: float) -> float:
        """Requests per second that the router at `port` can do."""
        options = ["saturate", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s"]
        found = await _result(await self._run(port, options))
        assert not found["errors"], f"the router failed requests without any fault: {found['errors']}"
        return float(found["per_second"])

    async def begin(self, port: int, rate: float, seconds: float) -> asyncio.subprocess.Process:
        """`rate` requests per second for so long; `errors_of` waits for the end."""
        return await self._run(port, ["rate", "--rate", f"{rate:.0f}", "--duration", f"{seconds:.0f}s"])

    async def end(self) -> None:
        """Ends the upstream."""
        if self.upstream.returncode is None:
            self.upstream.kill()
        await self.upstream.wait()

    async def _run(self, port: int, options: list[str]) -> asyncio.subprocess.Process:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        return await asyncio.create_subprocess_exec(
            self.binary, "run", *options, "--url", url, "--model", MODEL, "--patience", PATIENCE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip


async def _result(process: asyncio.subprocess.Process) -> dict[str, Any]:
    output, _ = await process.communicate()
    assert process.returncode == 0, f"the load generator failed with {process.returncode}"
    found: dict[str, Any] = json.loads(output)
    return found


async def counted(process: asyncio.subprocess.Process) -> tuple[int, dict[str, int]]:
    """Requests and errors of a load that was begun."""
    found = await _result(process)
    return int(found["requests"]), dict(found["errors"] or {})


@contextlib.asynccontextmanager
async def steady() -> AsyncIterator[Steady]:
    binary = str(await asyncio.to_thread(load_generator))
    upstream = await asyncio.create_subprocess_exec(binary, "upstream", stdout=asyncio.subprocess.PIPE)
    found = Steady(binary, 0, upstream)
    try:
        assert upstream.stdout is not None
        found.upstream_port = int(json.loads(await upstream.stdout.readline())["port"])
        yield found
    finally:
        await found.end()
