"""Four routers and two hundred clients at full speed spend one budget, while a router and the ledger are killed.

The routers hear of each other by the ledger alone, which takes longest. What is held: the budget is overrun by no more than all
of them spend in two seconds, the house serves throughout, and nothing that was written down is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from genset.contracts.ledger import BUDGETS_PATH, token
from genset.windows import window
from testbed.router import config, house, spawn
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer
from tests.support.ledger_process import KEY, LedgerProcess
from tests.support.router.budgets import budget, budgeted, priced

ROUTERS = 4
CLIENTS = 200
ANSWER = 27  # millionths, of ten words
ANSWERS = 10_000  # that the budget holds
BOUND_SECONDS = 2.0
LONGEST_SECONDS = 240.0
FILE = "ledger.token"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerProcess]:
    process = LedgerProcess(tmp_path, str(tmp_path / "ledger.db"))
    process.start()
    yield process
    process.stop()


class Crowd:
    """Clients ask one thing after another. `answers`: by status and by who answered, of each model that they name."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.answers: dict[str, dict[tuple[int, str], int]] = {"counting": {}, "local": {}}
        self.over = False

    async def client(self, number: int) -> None:
        model = "local" if number % 10 == 0 else "counting"
        body = orjson.dumps(chat(stream=False, model=model))
        asked = b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        while not self.over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[number % ROUTERS])
                with contextlib.closing(writer):
                    while not self.over:
                        writer.write(asked % (len(body), body))
                        self.count(model, await self.answer(reader))
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.1)  # its router was killed

    async def answer(self, reader: asyncio.StreamReader) -> tuple[int, str]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        backend = head.split("x-genset-backend: ")[1].split("\r\n")[0] if "x-genset-backend: " in head else ""
        return int(head.split()[1]), backend

    def count(self, model: str, answer: tuple[int, str]) -> None:
        self.answers[model][answer] = self.answers[model].get(answer, 0) + 1


def document(ledger: LedgerProcess, near: str, far: str) -> dict[str, Any]:
    routes = [
        {"name": "all", "match": {"models": ["counting"]}, "tiers": [[{"backend": "cloud"}], [{"backend": "house"}]]},
        {"name": "local", "match": {"models": ["local"]}, "tiers": [[{"backend": "house"}]]},
    ]
    amount = f"{ANSWERS * ANSWER / 1_000_000:.6f}"
    made = budgeted(
        config(house(near), priced(far), routes=routes), budget(amount, when_spent="NextTier"), routers=ROUTERS
    )
    return {**made, "usage": {"spoolBytes": 12 * 1024 * 1024}, "ledger": {"url": ledger.url, "tokenFile": FILE}}


def most_within(times: list[float], seconds: float) -> int:
    """The most that came within so many seconds."""
    begin, most = 0, 0
    for at, moment in enumerate(times):
        while moment - times[begin] > seconds:
            begin += 1
        most = max(most, at - begin + 1)
    return most


async def test_a_budget_is_overrun_by_no_more_than_is_spent_in_two_seconds(
    tmp_path: Path, ledger: LedgerProcess
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / FILE).write_bytes(token(KEY, "models").encode())
    processes: list[asyncio.subprocess.Process] = []

    async def start(number: int, made: dict[str, Any]) -> tuple[asyncio.subprocess.Process, int, int]:
        folder = tmp_path / f"router-{number}"
        folder.mkdir(exist_ok=True)
        told = ("--credentials", str(credentials), "--spool", str(folder / "spool"))
        started = await spawn(folder, made, *told)
        processes.append(started[0])
        return started

    async with ScriptedUpstream(default=Answer()) as near, ScriptedUpstream(default=Answer()) as far:
        made = document(ledger, near.base_url, far.base_url)
        crowd = Crowd()
        try:
            routers = await asyncio.gather(*(start(number, made) for number in range(ROUTERS)))
            crowd.ports = [port for _, port, _ in routers]
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(crowd.client(number))
                deadline = time.monotonic() + LONGEST_SECONDS

                async def spent(share: float) -> None:
                    while len(far.requests) < share * ANSWERS:
                        assert time.monotonic() < deadline, f"{len(far.requests)} answers, {crowd.answers}"
                        await asyncio.sleep(0.02)

                await spent(0.2)
                routers[0][0].kill()
                await routers[0][0].wait()
                _, crowd.ports[0], _ = await start(0, made)
                await spent(0.5)
                await asyncio.to_thread(ledger.kill)
                await asyncio.sleep(3.0)
                await asyncio.to_thread(ledger.start)
                await spent(0.98)
                while True:  # until the cloud is asked no more
                    before = len(far.requests)
                    await asyncio.sleep(2 * BOUND_SECONDS)
                    if len(far.requests) == before:
                        break
                    assert time.monotonic() < deadline
                crowd.over = True
        finally:
            crowd.over = True
            for process in processes:
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(process.wait() for process in processes))
        times = [one.at for one in far.requests]
    rate = most_within(times, BOUND_SECONDS)
    overrun = len(times) - ANSWERS
    print(f"answers {len(times)}, overrun {overrun}, most within {BOUND_SECONDS:g} s {rate}, {crowd.answers}")
    assert overrun <= rate, "more than all routers spend in two seconds"
    assert set(crowd.answers["local"]) == {(200, "house")}, "the house was refused"
    assert set(crowd.answers["counting"]) == {(200, "cloud"), (200, "house")}
    assert_booked(ledger, len(times))


def assert_booked(ledger: LedgerProcess, answers: int) -> None:
    """Everything but what the killed router had in work is at the ledger, and is what was spent."""
    begin, _ = window("Month", "UTC", time.time())
    asked = ledger.read(BUDGETS_PATH, policy="models/assistant", window=f"month.USD.{begin}").json()
    spent = asked["windows"][0]["spent"]
    total = sum(map(Decimal, spent.values())) * 1_000_000 / ANSWER
    assert ROUTERS <= len(spent) <= ROUTERS + 1, "each life of each router has its own"
    assert answers - CLIENTS // ROUTERS <= total <= answers
