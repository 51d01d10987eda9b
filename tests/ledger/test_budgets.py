"""What was spent of budgets is at the ledger, whatever becomes of routers and of itself, and comes back to all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from genset.contracts.ledger import BUDGETS_PATH, token
from genset.ledger import reading
from genset.ledger.database import Database
from genset.ledger.facts import Booking
from genset.ledger.tables import BUDGETS
from genset.ledger.transfer import export, import_lines
from genset.ledger.verify import verify
from testbed.router import RunningRouter, config, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.ledger_process import KEY, LedgerProcess
from tests.support.router.budgets import budget, budgeted, priced

FILE = "ledger.token"
CREDENTIALS = {FILE: token(KEY, "models").encode()}


def document(ledger: LedgerProcess, base_url: str, amount: str, routers: int = 2, **more: Any) -> dict[str, Any]:
    made = budgeted(config(priced(base_url)), budget(amount, **more), routers=routers)
    return {**made, "usage": {"spoolBytes": 4 * 1024 * 1024}, "ledger": {"url": ledger.url, "tokenFile": FILE}}


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir(exist_ok=True)
    return made


def known(router: RunningRouter) -> int:
    """What a router knows was spent of its one budget, in millionths of a millionth."""
    book = router.router.shared.budgets
    assert book is not None
    (one,) = book.budgets
    return one.counts.total


async def test_what_one_router_has_spent_counts_at_the_other_and_at_whoever_comes_later(
    tmp_path: Path, ledger: LedgerProcess
) -> None:
    async with ScriptedUpstream() as far:
        made = document(ledger, far.base_url, "0.000081")
        async with (
            RunningRouter(folder(tmp_path, "a"), made, CREDENTIALS, spool=tmp_path / "sa") as one,
            RunningRouter(folder(tmp_path, "b"), made, CREDENTIALS, spool=tmp_path / "sb") as two,
        ):
            for _ in range(3):

                async def served() -> bool:
                    return (await one.ask(chat(stream=False))).status == 200

                await until(served, what="its part of what is left is renewed")
            await until(lambda: known(two) == 81 * 10**6, what="the other router hears of it")
            assert (await two.ask(chat(stream=False))).status == 429
        async with RunningRouter(folder(tmp_path, "c"), made, CREDENTIALS, spool=tmp_path / "sc") as later:
            assert known(later) == 81 * 10**6, "it asks before it takes its first request"
            assert (await later.ask(chat(stream=False))).status == 429
    assert len(far.requests) == 3


async def test_it_outlives_the_ledger_and_is_booked_once(tmp_path: Path, ledger: LedgerProcess, url: str) -> None:
    async with ScriptedUpstream() as far:
        made = document(ledger, far.base_url, "1")
        async with RunningRouter(folder(tmp_path, "a"), made, CREDENTIALS, spool=tmp_path / "sa") as one:
            for stream in (True, False, True):
                assert (await one.ask(chat(stream=stream))).complete
            ledger.kill()
            for _ in range(4):
                assert (await one.ask(chat())).complete
            ledger.start()
            await asyncio.to_thread(one.router.parts.ledger.send)
            begin = one.router.shared.budgets.budgets[0].counts.begin  # type: ignore[union-attr]
        spent = ledger.read(BUDGETS_PATH, policy="models/assistant", window=f"month.USD.{begin}").json()
    assert list(spent["windows"][0]["spent"].values()) == ["0.000189"]
    ledger.stop()
    database = Database(url)
    database.open()
    assert verify(database).problems == []
    other = Database(str(tmp_path / "other.db"))
    other.open()
    import_lines(other, export(database))
    assert reading.budgets(other, [Booking("models/assistant", "month", "USD", begin)]) == spent["windows"]
    with database.writing() as connection:
        connection.execute(BUDGETS.update().values(spent=BUDGETS.c.spent + 1))
    (problem,) = verify(database).problems
    assert "what was spent of budget month of models/assistant since" in problem
    database.close()
    other.close()


async def test_nobody_hears_of_the_budgets_of_other_namespaces(ledger: LedgerProcess) -> None:
    headers = {"authorization": f"Bearer {token(KEY, 'other')}"}
    where = f"{ledger.url}{BUDGETS_PATH}?policy=models/assistant&window=month.USD.0"
    async with httpx.AsyncClient() as client:
        assert (await client.get(where, headers=headers)).status_code == 403
        assert (await client.get(where)).status_code == 401
    assert ledger.read(BUDGETS_PATH, policy="models/assistant", window="month").status_code == 400
    assert ledger.read(BUDGETS_PATH, policy="", window="month.USD.0").status_code == 400
