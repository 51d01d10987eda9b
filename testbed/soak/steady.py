"""The steady part of a soak's load is the benchmark's own generator and upstream, which cost little beside the router.

It finds what the router can do on this machine, and then keeps it at half of that while the judged clients meet faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bench.install import load_generator

MODEL = "bench"
CONNECTIONS = 32  # at saturation
MOST_CONNECTIONS = 4_000  # otherwise
PATIENCE = "20s"
WINDOW_SECONDS = 10.0
LATE_MS = 1000.0


@dataclass
class Kept:
    """Kept is what became of a steady load."""

    requests: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class Steady:
    """A steady load is one of requests that nothing disturbs."""

    binary: str
    upstream_port: int
    upstream: asyncio.subprocess.Process

    async def saturate(self, port: int, seconds: float) -> float:
        """Returns how many requests per second the router at `port` can do."""
        options = ["saturate", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s"]
        found = await _result(await self._run(port, options))
        assert not found["errors"], f"the router failed requests without any fault: {found['errors']}"
        return float(found["per_second"])

    async def keep(self, port: int, rate: float, seconds: float) -> Kept:
        """Sends about `rate` requests per second for `seconds`, in windows.

        The generator sends when a request is due, whether or not the last ones were answered. On a machine that is busy
        with something else that ends in thousands of connections, so it gives way for as long as answers are late, and
        when all of its connections wait for answers, its further requests wait, too.
        """
        kept, now = Kept(), rate
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 1:
            window = max(1.0, min(WINDOW_SECONDS, left))
            options = [
                "rate", "--rate", f"{now:.0f}", "--most-connections", str(MOST_CONNECTIONS),
                "--warmup", "0s", "--duration", f"{window:.0f}s",
            ]  # fmt: skip
            found = await _result(await self._run(port, options))
            kept.requests += int(found["requests"])
            kept.seconds += window
            for name, count in (found["errors"] or {}).items():
                kept.errors[name] = kept.errors.get(name, 0) + count
            late = found["latency_ms"]["max"] > LATE_MS
            now = max(1.0, now / 2) if late else min(rate, now * 1.5)
        return kept

    async def pause(self, seconds: float) -> None:
        """Stops the upstream for a while, as any server of a busy machine stops; whatever comes waits in the router."""
        self.upstream.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.upstream.send_signal(signal.SIGCONT)

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
