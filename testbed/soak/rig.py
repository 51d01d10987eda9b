"""The soak's rig runs the router and the upstreams as processes, and reads from /proc how the router does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import genset
from genset import names
from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.route_config import FailoverConfig, MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import LimitsConfig, PolicyRef, RouterConfig
from testbed.router_config import made
from testbed.soak import steady
from testbed.soak.callers import MODEL
from testbed.soak.faults import FIRST_TOKEN_SECONDS
from testbed.upstream import client

ROOT = Path(__file__).resolve().parents[2]
Weather = Callable[[str], None]


@dataclass
class RouterProcess:
    """A running router, with samples of `rss` (KiB) and `open_files`."""

    process: subprocess.Popen[bytes]
    port: int
    admin: int
    rss: list[int] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)

    def sample(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found, f"the router (process {self.process.pid}) has ended"
        self.rss.append(int(found[1]))
        self.open_files.append(self.files())
        return self.rss[-1]

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - counts, reads nothing

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def admin_page(self, path: str) -> str:
        return (await client.request(f"http://127.0.0.1:{self.admin}{path}")).body.decode()

    async def counts(self) -> dict[str, float]:
        """Returns the router's own counts of what went wrong and was made good."""
        found: dict[str, float] = {}
        pattern = r"^genset_router_(failovers|continuations|attempts)_total\{([^}]*)\} (\S+)$"
        for name, labels, value in re.findall(pattern, await self.admin_page("/metrics"), re.MULTILINE):
            told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            word = told.get("outcome") or told.get("reason") or "chosen"
            # The steady load meets no fault of the soak's, so whatever it met is kept apart.
            where = "steady: " if told.get("backend") == "steady" else ""
            found[f"{where}{name}({word})"] = found.get(f"{where}{name}({word})", 0.0) + float(value)
        return found


#: At 10,000 requests/s the default line of 1,000 is full after a tenth of a second, in which any machine may be busy
#: with something else: so there is a place for each connection of the load.
LIMITS = made(LimitsConfig, max_queued=steady.MOST_CONNECTIONS)


def configuration(ports: list[int], steady_port: int | None) -> RouterConfig:
    """Returns two houses in one tier and a cloud behind them, each with another continuation; the steady load apart."""
    rules = {"east": "ContinueFinalMessage", "west": "Prefill", "cloud": "Anchor", "steady": "Off"}
    addresses = dict(zip(rules, [*ports, steady_port], strict=True))
    backends = tuple(
        made(
            BackendConfig,
            name=name,
            kind="cloud" if name == "cloud" else "local",
            model=steady.MODEL if name == "steady" else MODEL,
            continuation=rules[name],
            url=UrlTarget(base_url=f"http://127.0.0.1:{port}/v1", provider="openAICompatible"),
        )
        for name, port in addresses.items()
        if port is not None
    )
    houses = (made(WeightedBackend, backend="east"), made(WeightedBackend, backend="west"))
    faulty = made(
        RouteConfig,
        name="soak",
        match=made(MatchConfig, models=(MODEL,)),
        tiers=(houses, (made(WeightedBackend, backend="cloud"),)),
        failover=made(
            FailoverConfig, first_token_seconds=FIRST_TOKEN_SECONDS, stall_seconds=2, total_seconds=25, max_attempts=8
        ),
    )
    undisturbed = made(
        RouteConfig,
        name="steady",
        match=made(MatchConfig, models=(steady.MODEL,)),
        tiers=((made(WeightedBackend, backend="steady"),),),
    )
    policy = made(PolicyRef, namespace="soak", name="soak", generation=1)
    routes = (faulty,) if steady_port is None else (faulty, undisturbed)
    return made(RouterConfig, policy=policy, backends=backends, routes=routes, limits=LIMITS)


@contextlib.asynccontextmanager
async def upstreams(seed: int, folder: Path) -> AsyncIterator[tuple[list[int], Weather]]:
    """Yields ports of two houses and a cloud, and what sets their weather: fair, calm, or "" for the end of all."""
    with _process([sys.executable, "-m", "testbed.soak.upstreams", str(seed)], folder / "upstreams.log") as process:
        assert process.stdin and process.stdout
        ports = json.loads(await asyncio.to_thread(process.stdout.readline))

        def weather(word: str) -> None:
            assert process.stdin
            if word:
                process.stdin.write(f"{word}\n".encode())
                process.stdin.flush()
            else:
                process.stdin.close()

        yield ports, weather


@contextlib.asynccontextmanager
async def router(config: RouterConfig, folder: Path) -> AsyncIterator[RouterProcess]:
    place = folder / "config"
    place.mkdir()
    (place / names.ROUTER_CONFIG_FILE).write_text(config.canonical_json())
    port, admin = _free_port(), _free_port()
    command = [
        sys.executable, "-m", "genset", "router", "--config-dir", str(place), "--listen", f"127.0.0.1:{port}",
        "--admin", f"127.0.0.1:{admin}", "--access-log", os.devnull, "--drain-grace", "0",
    ]  # fmt: skip
    with _process(command, folder / "router.log") as process:
        found = RouterProcess(process, port, admin)
        deadline = time.monotonic() + 15
        while not await _is_ready(found):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the router did not start: {(folder / 'router.log').read_text()[-2000:]}")
            await asyncio.sleep(0.1)
        yield found


async def _is_ready(found: RouterProcess) -> bool:
    try:
        return (await client.request(f"http://127.0.0.1:{found.admin}/-/ready")).status == 200
    except OSError:
        return False


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    package = Path(genset.__file__).parents[1]  # the compiled package, if that is what runs here
    env = {**os.environ, "PYTHONPATH": f"{package}:{ROOT}"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
