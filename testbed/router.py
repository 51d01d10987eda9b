"""A real router runs in this process, on free ports, for tests over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from genset.router.exchange.exchange import Exchange
from genset.router.http.upstream import UpstreamConnection
from genset.router.process.admin import AdminConnection
from genset.router.process.options import DEFAULT, Bounds
from genset.router.process.reload import FolderSource
from genset.router.process.server import Router, ServerOptions
from genset.router.routing.gate import Gate
from genset.router.routing.shares import Shares
from genset.router.routing.table import Table
from genset.router.telemetry.journal import Journal
from genset.router.telemetry.metrics import Metrics
from testbed.cluster.ports import free_ports
from testbed.router_config import complete
from testbed.upstream.client import Response, request


def house(base_url: str, name: str = "house", **more: Any) -> dict[str, Any]:
    """Makes a local backend at one URL (an external server), not probed."""
    target = {"baseUrl": base_url, "provider": "openAICompatible", **more.pop("url", {})}
    return {"name": name, "kind": "local", "model": "small", "url": target, **more}


def cloud(base_url: str, name: str = "cloud", provider: str = "openAICompatible", **more: Any) -> dict[str, Any]:
    target = {"baseUrl": base_url, "provider": provider, **more.pop("url", {})}
    return {"name": name, "kind": "cloud", "model": "large", "url": target, **more}


def pods(host: str, port: int, name: str = "house", health: str = "/health", **more: Any) -> dict[str, Any]:
    """Makes a local backend whose endpoints DNS returns."""
    local = {"dns": {"host": host, "port": port}, "healthPath": health}
    return {"name": name, "kind": "local", "model": "small", "local": local, **more}


def config(
    *backends: dict[str, Any],
    tiers: list[list[str]] | None = None,
    models: list[str] | None = None,
    failover: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    generation: int = 1,
    routes: list[dict[str, Any]] | None = None,
    telemetry: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Makes a configuration with one route over all backends, a tier each, unless told otherwise."""
    order = tiers if tiers is not None else [[backend["name"]] for backend in backends]
    route = {
        "name": "route",
        "match": {"models": models or ["counting"]},
        "tiers": [[{"backend": name} for name in tier] for tier in order],
        "failover": failover or {},
    }
    return complete(
        {
            "policy": {"namespace": "models", "name": "assistant", "generation": generation},
            "backends": list(backends),
            "routes": routes or [route],
            "limits": limits or {},
            "telemetry": telemetry,
        }
    )


class RunningRouter:
    """A running router is used as `async with RunningRouter(tmp_path, config(...)) as router`.

    `credentials` maps file names to contents.
    """

    def __init__(
        self,
        folder: Path,
        content: dict[str, Any] | str,
        credentials: dict[str, bytes] | None = None,
        *,
        drain_grace: float = 0.0,
        log: Path | None = None,
        environment: dict[str, str] | None = None,
        bounds: Bounds = DEFAULT,
        shortcuts: bool = True,
        spool: Path | None = None,
        listen: str = "127.0.0.1",
    ) -> None:
        self.config_dir = folder / "config"
        self.credentials_dir = folder / "credentials"
        self.config_dir.mkdir(exist_ok=True)
        self.credentials_dir.mkdir(exist_ok=True)
        self.write(content)
        for name, data in (credentials or {}).items():
            (self.credentials_dir / name).write_bytes(data)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None
        options = ServerOptions(
            (listen, 0),
            (listen, 0),
            drain_grace,
            descriptor,
            environment=environment or {},
            bounds=bounds,
            shortcuts=shortcuts,
            spool=spool,
        )
        self.router = Router(FolderSource(self.config_dir, self.credentials_dir), options)

    def write(self, content: dict[str, Any] | str) -> None:
        """Replaces the configuration as the kubelet does: as a whole, by a rename."""
        text = content if isinstance(content, str) else json.dumps(content)
        new = self.config_dir / "..new"
        new.write_text(text)
        new.rename(self.config_dir / "router.json")

    async def __aenter__(self) -> RunningRouter:
        await self.router.load()
        await self.router.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.router.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.router.listen_port}"

    @property
    def chat_url(self) -> str:
        return f"{self.url}/v1/chat/completions"

    async def ask(self, body: Any, path: str = "/v1/chat/completions", **more: Any) -> Response:
        return await request(self.url + path, body, **more)

    async def admin(self, path: str) -> Response:
        return await request(f"http://127.0.0.1:{self.router.admin_port}{path}")

    # What is inside

    @property
    def table(self) -> Table:
        """Returns the table in force."""
        table = self.router.reception.table
        assert table is not None, "no configuration was taken"
        return table

    @property
    def configured(self) -> bool:
        return self.router.reception.table is not None

    @property
    def config_error(self) -> str | None:
        return self.router.reception.problem

    @property
    def exchanges(self) -> set[Exchange]:
        return self.router.reception.exchanges

    @property
    def gate(self) -> Gate[Exchange]:
        return self.router.reception.gate

    @property
    def connections(self) -> set[Any]:
        return self.router.shared.connections

    @property
    def admin_connections(self) -> set[AdminConnection]:
        return self.router.admin.connections

    @property
    def running_out(self) -> set[UpstreamConnection]:
        return self.router.shared.running_out

    @property
    def budget(self) -> Shares:
        return self.router.shared.budget

    @property
    def buffered_bytes(self) -> int:
        """Returns how many bytes are held for clients."""
        return self.router.shared.budget.taken

    @property
    def metrics(self) -> Metrics:
        return self.router.parts.telemetry.metrics

    @property
    def journal(self) -> Journal:
        return self.router.parts.telemetry.journal

    @property
    def site(self) -> bytes:
        return self.router.shared.configured.site

    @property
    def refusing(self) -> list[str]:
        """Lists backends that refuse the router, as it has proved."""
        return [name for name, backend in self.table.backends.items() if backend.refusals.known]

    async def state(self, backend: str) -> dict[str, Any]:
        """Returns what /-/state says about one backend."""
        found: dict[str, Any] = (await self.admin("/-/state")).json["backends"][backend]
        return found


def free_port() -> int:
    """Returns a port that nobody listens on, and that no other test gets for the next minutes."""
    return free_ports(1)[0]


async def spawn(tmp_path: Path, content: dict[str, Any], *more: str) -> tuple[asyncio.subprocess.Process, int, int]:
    """Starts `genset router` as a process of its own. Returns it, its port and its admin port."""
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "router.json").write_text(json.dumps(content))
    port, admin = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "genset", "router", "--config-dir", str(tmp_path / "config"),
        "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--access-log", str(tmp_path / "access.log"),
        *more, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    for _ in range(1200):
        assert process.returncode is None, f"the router ended with {process.returncode} before it was ready"
        with contextlib.suppress(OSError):
            if (await request(f"http://127.0.0.1:{admin}/-/ready")).status == 200:
                return process, port, admin
        await asyncio.sleep(0.05)
    process.kill()
    raise AssertionError("the router did not become ready within a minute")


async def until(
    condition: Callable[[], bool | Awaitable[bool]], within: float = 20.0, what: str = "the condition"
) -> None:
    """Waits for a condition with a deadline, in seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within

    async def met() -> bool:
        found = condition()
        return await found if isinstance(found, Awaitable) else found

    while not await met():
        assert loop.time() < deadline, f"{what} did not come true within {within:g} s"
        await asyncio.sleep(0.01)
