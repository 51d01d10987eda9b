"""A day of traffic in every API, with all that fails, ends in a report that is equal to a calculation by hand, to the last digit.

Routers and the ledger are processes that are killed at random; the ledger is away for a while, and its disk is full once (or its
PostgreSQL dies). Nothing is lost, and nothing counted twice. `make ledger-day` plays a long one.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from genset.contracts.ledger import READER, REQUESTS_PATH, token
from genset.contracts.usage import EgressReading, line
from genset.contracts.usage_records import UsageAttempt, UsageReader
from genset.ledger.books import Books
from genset.ledger.database import Database
from genset.ledger.report import UsageQuestion, UsageReport
from genset.ledger.tables import RECORDS, SPOOLS
from genset.ledger.transfer import import_spools
from genset.ledger.verify import verify
from genset.usage import egress_books
from tests.ledger.day.clouds import Item
from tests.ledger.day.hand import HOUSE, Bill, Sent, as_booked, bill, cost
from tests.ledger.day.play import Day, Trouble, kill, opened, play
from tests.ledger.test_server import fill
from tests.support.ledger_process import KEY, LedgerProcess
from tests.support.postgres import Postgres

REQUESTS = int(os.environ.get("GENSET_DAY_REQUESTS", "300"))
KILLS = int(os.environ.get("GENSET_DAY_KILLS", "4"))
AWAY_SECONDS = 3.0
COUNTS = (
    "requests", "answered", "cancelled", "attempts", "failovers", "prompt", "cached", "cacheWrite", "completion", "reasoning",
    "images", "searches", "estimated", "unpriced",
)  # fmt: skip
BY = ("consumer", "route", "backend")
EVER = (0, 2**31 // 3600 * 3600)

pytestmark = pytest.mark.timeout(3000 if "GENSET_DAY_REQUESTS" in os.environ else 240)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is: on a small disk, or in a PostgreSQL."""
    if request.param == "sqlite":
        return f"{request.getfixturevalue('small_disk')}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.make("day")


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
async def test_a_day_is_what_it_is_by_hand(
    request: pytest.FixtureRequest, tmp_path: Path, url: str, ledger: LedgerProcess
) -> None:
    draw = random.Random(17)
    async with opened(tmp_path, ledger) as day:

        async def kill_router() -> None:
            await kill(day, draw)

        async def kill_ledger() -> None:
            await asyncio.to_thread(ledger.kill)
            await asyncio.to_thread(ledger.start)

        async def ledger_away() -> None:
            await asyncio.to_thread(ledger.kill)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(ledger.start)

        async def no_room() -> None:
            if url.startswith("postgresql"):
                server: Postgres = request.getfixturevalue("postgres")
                await asyncio.to_thread(server.stop, at_once=True)
                await asyncio.sleep(AWAY_SECONDS)
                await asyncio.to_thread(server.start)
                return
            filler, began = Path(url).parent / "filler", time.monotonic()
            while time.monotonic() < began + AWAY_SECONDS:
                fill(filler)
                await asyncio.sleep(0.05)
            filler.unlink()

        troubles: list[Trouble] = [kill_router, kill_ledger] * (KILLS // 2) + [ledger_away, no_room]
        draw.shuffle(troubles)
        await play(day, REQUESTS, 8, troubles, 17)
        await asyncio.sleep(1.5)  # routers notice who has left, and settle what they suspect
        now = [(await router.metrics(), router.incarnation()) for router in day.routers]
        await asyncio.gather(*(router.end(signal.SIGTERM) for router in day.routers))
    recorded = [sent for sent in day.uncertain() if ledger.read(f"{REQUESTS_PATH}/{sent.identity}").json()["usage"]]
    sent = [*day.certain(), *recorded]
    assert len(day.kills) == KILLS // 2 and len(sent) > REQUESTS * 0.9
    told = ledger.usage(UsageQuestion(*EVER, BY))
    found = differences(told, bill(sent, day.invoices()))
    assert not found, explained(found, sent, day, ledger)
    assert_own(told, day)
    assert_left(egress_books.from_url(ledger.url, token(KEY, READER), 0, EgressReading()), day)
    assert_counted(url, now)
    nothing_twice(url, day)


def assert_own(told: UsageReport, day: Day) -> None:
    """What routers have asked for themselves is paid, too; a kill may take one of each cloud that was under way."""
    rows = {row.key[2]: row for row in told.rows if not row.key[1]}
    for cloud in day.clouds.values():
        booked = rows[cloud.name].counts["attempts"] if cloud.name in rows else 0
        answered = [item for item in cloud.own if item.status == 200 and item.told] if cloud.name != HOUSE else []
        assert 0 <= len(answered) - booked <= len(day.kills), f"{cloud.name}: {booked} of {len(answered)} own requests"
        paid = cost(answered[0]) if booked else None
        if paid is not None:
            assert rows[cloud.name].cost == {paid[1]: booked * paid[0]}, cloud.name


def assert_left(there: EgressReading, day: Day) -> None:
    """Whatever reached a cloud is in the egress record, also of requests that died with their router."""
    entries = Counter((entry.request, entry.backend) for entry in there.found() if entry.request.startswith("id-"))
    asked = Counter((item.request, name) for name, c in day.clouds.items() if name != HOUSE for item in c.invoice)
    uncertain = {sent.identity for sent in day.uncertain()}
    assert not asked - entries, "a cloud was asked, and nothing was written down"
    assert not [key for key in entries - asked if key[0] not in uncertain], "something is written down that nobody got"


def assert_counted(url: str, now: list[tuple[str, str]]) -> None:
    """The metrics of the routers that were left say what records of the same processes do."""
    database = Database(url)
    with database.reading() as connection:
        lines = [
            record
            for row in connection.execute(
                select(SPOOLS.c.incarnation, RECORDS.c.body)
                .join(SPOOLS, SPOOLS.c.id == RECORDS.c.spool)
                .where(SPOOLS.c.incarnation.in_([incarnation for _, incarnation in now]))
            )
            for record in UsageReader(row.incarnation).read(line(bytes(row.body)))
        ]
    database.close()
    by_records: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for record in lines:
        if record.avoided:
            by_records["avoided", record.route, record.avoided_currency] += record.avoided
        for attempt in record.attempts:
            if attempt.cost:
                by_records["cost", record.route, attempt.backend, attempt.currency] += attempt.cost
    by_metrics: dict[tuple[str, ...], float] = defaultdict(float)
    for text, _ in now:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                label = sample.labels.get
                if sample.name == "genset_cost_total" and sample.value:
                    by_metrics["cost", label("route", ""), label("backend", ""), label("currency", "")] += sample.value
                elif sample.name == "genset_avoided_total" and sample.value:
                    by_metrics["avoided", label("route", ""), label("currency", "")] += sample.value
    assert by_metrics == pytest.approx({key: float(amount) for key, amount in by_records.items()}, rel=1e-9)
    assert by_records


def nothing_twice(url: str, day: Day) -> None:
    """The books are as they should be, and what is left of the spools holds nothing that they do not have."""
    database = Database(url)
    verdict = verify(database)
    assert verdict.problems == [] and verdict.missing == []
    new, count = import_spools(Books(database), [router.spool for router in day.routers])
    assert new == 0 and count > 0
    database.close()


def differences(told: UsageReport, hand: Bill) -> list[str]:
    """Says what the report has otherwise than the hand."""
    found = []
    rows: dict[Any, Any] = {row.key: row for row in told.rows if row.key[1]}
    for key in sorted({*rows, *hand.counts}):
        row, counts = rows.get(key), hand.counts.get(key, Counter())
        said = row.told(BY) if row is not None else {}
        for name in COUNTS:
            if said.get(name, 0) != counts[name]:
                found.append(f"{key}: {name} {said.get(name, 0)}, by hand {counts[name]}")
        for name, money in (("cost", hand.cost), ("avoided", hand.avoided)):
            here = {currency: Decimal(amount) for currency, amount in said.get(name, {}).items() if Decimal(amount)}
            by_hand = {currency: amount for (k, currency), amount in money.items() if k == key and amount}
            if here != by_hand:
                found.append(f"{key}: {name} {here}, by hand {by_hand}")
    return found


def explained(found: list[str], sent: list[Sent], day: Day, ledger: LedgerProcess) -> str:
    """Names requests of which the record says otherwise than invoices do."""
    invoices, lines = day.invoices(), []
    for one in sent:
        items = as_booked(invoices.get(one.identity, ()))
        records = ledger.read(f"{REQUESTS_PATH}/{one.identity}").json()["usage"]
        if len(records) != 1:
            lines.append(f"{one} has {len(records)} records")
            continue
        booked = [_short(UsageAttempt.read(attempt)) for attempt in records[0].get("attempts", [])]
        if booked != [_of_item(item) for item in items]:
            lines.append(f"{one}:\n   record  {records[0]}\n   invoice {items}")
    return "\n".join([*found[:40], *lines[:3]])


def _short(attempt: UsageAttempt) -> tuple[Any, ...]:
    return attempt.backend, attempt.prompt, attempt.cached, attempt.completion, attempt.searches, attempt.images


def _of_item(item: Item) -> tuple[Any, ...]:
    return item.backend, item.prompt, item.cached, item.made, item.searches, item.images
