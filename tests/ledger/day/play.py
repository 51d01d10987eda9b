"""A day is played: routers and a ledger as processes, clouds that keep invoices, and somebody who kills all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genset.contracts.ledger import token
from testbed.router import cloud, config, free_port, house
from testbed.upstream.client import request
from tests.ledger.day.clouds import Cloud, Item
from tests.ledger.day.hand import EACH, TOKENS, Sent
from tests.ledger.day.traffic import WISHES, Client, Left, Wish
from tests.support.ledger_process import KEY, LedgerProcess
from tests.support.router.consumers import access, consumer, keys

NAMESPACE = "models"
KINDS = {
    "house": "openai", "gpt": "openai", "claude": "anthropic", "deep": "responses", "open": "openrouter", "wild": "openai",
    "vectors": "vectors", "ranks": "ranks", "pictures": "pictures",
}  # fmt: skip
TIERS = {
    "assistant": ["house", "gpt", "claude"], "claude": ["claude", "gpt"], "deep": ["deep", "gpt"], "open": ["open"],
    "wild": ["wild"], "vectors": ["vectors"], "ranks": ["ranks"], "pictures": ["pictures"],
}  # fmt: skip
START_SECONDS = 180
NOTICE_SECONDS = 1.0  # in which a router notices that a client has left


def _price(name: str) -> dict[str, Any]:
    if name in TOKENS:
        currency, new, cached, written, hour, made = TOKENS[name]
        rates = {"inputPerMillion": new, "cachedInputPerMillion": cached, "outputPerMillion": made}
        if name == "claude":
            rates |= {"cacheWritePerMillion": written, "cacheWriteHourPerMillion": hour}
        return {"price": {"source": "policy", "currency": currency, "rates": rates}}
    if name in EACH:
        currency, each = EACH[name]
        return {
            "price": {"source": "policy", "currency": currency, "perSearch" if name == "ranks" else "perImage": each}
        }
    return {}


def document(clouds: dict[str, Cloud], ledger: str) -> dict[str, Any]:
    """Returns the configuration of a day's routers."""
    providers = {"claude": "anthropic", "deep": "openai", "open": "openRouter"}
    backends = [house(clouds["house"].server.base_url, continuation="Prefill")]
    for name in KINDS:
        if name != "house":
            url = {"keyFile": "key"} | ({"api": "Responses"} if name == "deep" else {})
            zone = "eu" if name in ("deep", "vectors", "pictures") else "us"
            base = clouds[name].server.url if name == "claude" else clouds[name].server.base_url
            provider = providers.get(name, "openAICompatible")
            made = cloud(base, name, provider, url=url, dataZone=zone, continuation="Prefill", **_price(name))
            made["model"] = "claude-haiku-4-5" if name == "claude" else name  # which takes an answer to write on
            backends.append(made)
    routes = [
        {"name": name, "match": {"models": [name]}, "tiers": [[{"backend": b}] for b in tiers]}
        for name, tiers in TIERS.items()
    ]
    told = {
        **config(*backends, routes=routes),
        "access": access(consumer("invoices", "accounting"), consumer("lab", "research")),
    }
    told |= {
        "usage": {"spoolBytes": 12 << 20},
        "egress": {"required": True},
        "ledger": {"url": ledger, "tokenFile": "site.ledger"},
    }
    return told


class RouterProcess:
    """A router as a process of its own, which keeps its folder when it is killed, as a container does."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        for name in ("config", "credentials", "spool"):
            (folder / name).mkdir(parents=True)
        (folder / "config" / "router.json").write_text(json.dumps(content))
        for name, value in {**keys(), "key": b"k", "site.ledger": token(KEY, NAMESPACE).encode()}.items():
            (folder / "credentials" / name).write_bytes(value)
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.up = False
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        options = {
            "--config-dir": self.folder / "config", "--credentials": self.folder / "credentials", "--spool": self.spool,
            "--listen": f"127.0.0.1:{self.port}", "--admin": f"127.0.0.1:{self.admin}", "--drain-grace": "0",
            "--access-log": self.folder / "access.log",
        }  # fmt: skip
        command = [sys.executable, "-m", "genset", "router", *map(str, itertools.chain(*options.items()))]
        self._spawn(command)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if (await request(f"http://127.0.0.1:{self.admin}/-/ready")).status == 200:
                    self.up = True
                    return
            await asyncio.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def _spawn(self, command: list[str]) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})

    async def end(self, number: int) -> None:
        self.up = False
        if self._process is not None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait, 30)
            self._process = None

    def incarnation(self) -> str:
        """Returns the name of this life of it, by the segment of usage that it writes to."""
        newest = max(self.spool.glob("usage-*.log"), key=lambda path: path.stat().st_mtime_ns)
        return newest.name.split("-")[1]

    async def metrics(self) -> str:
        return (await request(f"http://127.0.0.1:{self.admin}/metrics")).body.decode()


@dataclass
class Day:
    """A day is what was played: who was asked for what, who did what, and what was killed."""

    routers: list[RouterProcess]
    clouds: dict[str, Cloud]
    whole: list[Sent] = field(default_factory=list)
    broken: list[Sent] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    kills: list[tuple[str, float]] = field(default_factory=list)  # whom, and when

    def urls(self) -> list[str]:
        return [router.url for router in self.routers if router.up]

    def certain(self) -> list[Sent]:
        """Returns requests whose end a router must have written down: it told it, or had time to notice that a client left."""
        noticed = [
            left.sent
            for left in self.left
            if not any(url == left.url and left.at <= at < left.at + NOTICE_SECONDS for url, at in self.kills)
        ]
        return [*self.whole, *noticed]

    def uncertain(self) -> list[Sent]:
        """Returns requests that died with their router; it may have written them down."""
        certain = {sent.identity for sent in self.certain()}
        return [*self.broken, *(left.sent for left in self.left if left.sent.identity not in certain)]

    def invoices(self) -> dict[str, list[Item]]:
        """Returns what each request made backends do."""
        found: dict[str, list[Item]] = defaultdict(list)
        for one in self.clouds.values():
            for item in one.invoice:
                found[item.request].append(item)
        return found


Trouble = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def opened(folder: Path, ledger: LedgerProcess, routers: int = 2) -> AsyncIterator[Day]:
    """Starts everything; ends what is left."""
    async with contextlib.AsyncExitStack() as stack:
        clouds = {name: Cloud(name, kind) for name, kind in KINDS.items()}
        for one in clouds.values():
            await stack.enter_async_context(one.server)
        content = document(clouds, ledger.url)
        day = Day([RouterProcess(folder / f"router{number}", content) for number in range(routers)], clouds)
        for router in day.routers:
            stack.push_async_callback(router.end, signal.SIGKILL)
        await asyncio.gather(*(router.start() for router in day.routers))
        yield day


async def play(day: Day, requests: int, clients: int, troubles: list[Trouble], seed: int) -> None:
    """Has clients send so many requests while troubles come one after the other, spread over the day.

    Once all is well again each kind of request comes once more, so that there is something to compare the last lives by.
    """
    draw = random.Random(seed)
    wishes = [*WISHES, *draw.choices(WISHES, k=max(0, requests - 2 * len(WISHES)))]
    draw.shuffle(wishes)
    given = 0

    def handed_out(held: list[Wish]) -> Iterator[tuple[int, Wish]]:
        nonlocal given
        for wish in held:
            given += 1
            yield given, wish

    def people(held: list[Wish]) -> asyncio.Future[Any]:
        shared = handed_out(held)
        them = [Client(day.urls, random.Random(seed + n), day.whole, day.broken, day.left) for n in range(clients)]
        return asyncio.gather(*(one.run(shared) for one in them))

    running = people(wishes)
    for place, trouble in enumerate(troubles, 1):
        while given < len(wishes) * place // (len(troubles) + 1) and not running.done():
            await asyncio.sleep(0.01)
        await trouble()
    await running
    await people(WISHES)


async def kill(day: Day, draw: random.Random) -> None:
    """Kills a router and starts it again, as the kubelet does."""
    router = draw.choice(day.routers)
    await router.end(signal.SIGKILL)
    day.kills.append((router.url, time.monotonic()))
    await asyncio.sleep(0.2)
    await router.start()
