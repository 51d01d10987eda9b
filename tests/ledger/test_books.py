"""What is sent is booked once, in whatever order and however often it comes, and reports say what a hand reckons."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from genset.ledger import reading
from genset.ledger.books import Booked, Books, Forbidden, Sending
from genset.ledger.database import _PRAGMAS, Database, LedgerError
from genset.ledger.decoding import BadPiece, SegmentName
from genset.ledger.facts import HOUR
from genset.ledger.report import UsageQuestion, UsageReport
from genset.ledger.tables import LINKS, METADATA, RECORDS
from tests.support.ledger import BEGIN, Traffic, egress_segment
from tests.support.ledger_process import EVER


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database, lambda: BEGIN + 10**6)


def assert_by_hand(found: UsageReport, traffic: Traffic, word: str = "team") -> None:
    """Compares a report with what the lines themselves come to."""
    hand = traffic.by_hand(word)
    assert {row.key[0] for row in found.rows} == set(hand)
    for row in found.rows:
        paid = {f"cost {currency}": amount for currency, amount in row.cost.items()}
        paid |= {f"avoided {currency}": amount for currency, amount in row.avoided.items()}
        names = ("requests", "answered", "attempts", "prompt", "completion")
        counted = {name: Decimal(row.counts[name]) for name in names}
        assert {**paid, **counted} == {**dict.fromkeys(names, Decimal()), **hand[row.key[0]]}


def send(books: Books, file: str, content: bytes, offset: int = 0, namespace: str | None = None) -> object:
    return books.take([Sending(SegmentName.read(file), offset, content, namespace)])[0]


def test_the_tables_are_those_of_the_steps_that_led_to_them(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []
    database.open()  # once more changes nothing


def test_a_database_of_a_newer_release_is_left_alone(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="newer release"):
        database.open()


def test_what_is_sent_is_booked(database: Database, books: Books) -> None:
    traffic = Traffic()
    traffic.add("abc", 300)
    for file, content in traffic.segments("abc"):
        assert send(books, file, content) == Booked(len(content))
    found = reading.usage(database, UsageQuestion(EVER.begin, EVER.end, ("team",)))
    assert_by_hand(found, traffic)


def test_pieces_come_in_any_order_and_again_and_again(database: Database, books: Books) -> None:
    draw, traffic = random.Random(3), Traffic(3)
    traffic.add("abc", 200)
    traffic.add("def", 150)
    left = {file: content for name in ("abc", "def") for file, content in traffic.segments(name, 30)}
    have = dict.fromkeys(left, 0)
    while left:
        several = []
        for _ in range(draw.randint(1, 4)):
            file = draw.choice(list(left))
            offset = have[file] if draw.random() < 0.7 else draw.randrange(len(left[file]))
            several.append(Sending(SegmentName.read(file), offset, left[file][offset : offset + draw.randrange(4000)]))
        for sending, taken in zip(several, books.take(several), strict=True):
            assert isinstance(taken, Booked)
            assert taken.have >= have[sending.name.file]
            have[sending.name.file] = taken.have
            if taken.have == len(left.get(sending.name.file, b"-")):
                del left[sending.name.file]
    assert_by_hand(reading.usage(database, UsageQuestion(EVER.begin, EVER.end, ("consumer",))), traffic, "consumer")
    with database.reading() as connection:
        assert len(connection.execute(select(RECORDS.c.id)).all()) == 350


def test_a_line_that_stands_in_two_segments_is_booked_once(database: Database, books: Books) -> None:
    traffic = Traffic()
    lines = traffic.add("abc", 20)
    for number, part in enumerate([lines, lines[5:], lines[:3]], 1):
        send(books, *traffic.segment("abc", number, part))
    assert_by_hand(reading.usage(database, UsageQuestion(EVER.begin, EVER.end, ("team",))), traffic)


def test_spans_are_whole_hours_and_add_up(database: Database, books: Books) -> None:
    traffic = Traffic(5)
    traffic.add("abc", 500, seconds=1000)
    for segment in traffic.segments("abc"):
        send(books, *segment)
    first, last = BEGIN // HOUR * HOUR, BEGIN // HOUR * HOUR + 200 * HOUR
    whole = reading.usage(database, UsageQuestion(first, last)).total
    cuts = [first, first + 7 * HOUR, first + 8 * HOUR, first + 90 * HOUR, last]
    parts = [reading.usage(database, UsageQuestion(a, b)).total for a, b in pairwise(cuts)]
    assert whole.counts["requests"] == sum(part.counts["requests"] for part in parts) > 400
    assert whole.cost["USD"] == sum((part.cost["USD"] for part in parts if part.cost), Decimal())
    by_day, by_hour = (reading.usage(database, UsageQuestion(first, last, (word,))) for word in ("day", "hour"))
    assert by_day.total == by_hour.total == whole


def test_what_left_the_house_is_linked(database: Database, books: Books) -> None:
    for file, content in (egress_segment("abc", range(1, 30)), egress_segment("def", range(1, 5))):
        assert send(books, file, content) == Booked(len(content))
        send(books, file, content)
    with database.reading() as connection:
        assert connection.execute(select(LINKS.c.number).order_by(LINKS.c.number)).scalars().all() == [*range(1, 67)]
    found = reading.egress(database, BEGIN, BEGIN + 10)
    assert len(found) == 2 * 9 + 2 * 4


def test_routers_send_only_what_their_namespace_has_written(database: Database, books: Books) -> None:
    traffic = Traffic()
    traffic.add("abc", 3)
    ((file, content),) = traffic.segments("abc")
    assert isinstance(send(books, file, content, namespace="other"), Forbidden)
    assert send(books, file, content, namespace="law") == Booked(len(content))
    more = Traffic(policy="other/x").segment("abc", 2, traffic.spools["abc"])  # an incarnation has one policy
    assert isinstance(send(books, *more, namespace="other"), BadPiece)
    assert reading.usage(database, EVER).total.counts["requests"] == 3


def test_what_is_bad_holds_up_nobody(database: Database, books: Books) -> None:
    traffic = Traffic()
    traffic.add("abc", 3)
    ((file, content),) = traffic.segments("abc")
    bad = Sending(SegmentName.read("usage-x-000001.log"), 0, b"junk\n")
    good = Sending(SegmentName.read(file), 0, content)
    refused, taken = books.take([bad, good])
    assert isinstance(refused, BadPiece) and taken == Booked(len(content))


def test_clocks_that_are_wrong_lose_nothing(database: Database, books: Books) -> None:
    traffic = Traffic()
    for one, moment in zip(traffic.add("abc", 4), (0.0, 1e300, BEGIN - 10**9, BEGIN + 10**9), strict=True):
        one["time"] = moment
    ((file, content),) = traffic.segments("abc")
    send(books, file, content)
    found = reading.usage(database, UsageQuestion(0, 253_402_300_800, ("team",)))
    assert_by_hand(found, traffic)


def test_names_that_a_database_cannot_keep_are_kept_as_far_as_it_can(database: Database, books: Books) -> None:
    traffic = Traffic()
    (one,) = traffic.add("abc", 1)
    one |= {"team": "\0law", "request": "r\0", "outcome": "refused"}
    ((file, content),) = traffic.segments("abc")
    assert send(books, file, content) == Booked(len(content))
    assert [row.key for row in reading.usage(database, UsageQuestion(0, EVER.end, ("team",))).rows] == [("law",)]
    assert len(reading.request(database, "r")["usage"]) == 1


def test_models_without_end_count_together(database: Database, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genset.ledger.books.MOST_SERIES", 20)
    traffic = Traffic()
    for number, one in enumerate(traffic.add("abc", 100)):
        for attempt in one.get("attempts", []):
            attempt["model"] = f"m-{number}"
    for segment in traffic.segments("abc", 10):
        send(books, *segment)
    found = reading.usage(database, UsageQuestion(0, EVER.end, ("model",)))
    assert "(others)" in {row.key[0] for row in found.rows} and len(found.rows) < 40
    assert_by_hand(reading.usage(database, UsageQuestion(0, EVER.end, ("team",))), traffic)


def test_requests_without_an_id_are_requests(database: Database, books: Books) -> None:
    """BerriAI/litellm#6633: an empty id was a key, and only the first request was kept."""
    traffic = Traffic()
    for one in traffic.add("abc", 50):
        one["request"] = ""
    for segment in traffic.segments("abc", 10):
        send(books, *segment)
    assert_by_hand(reading.usage(database, UsageQuestion(0, EVER.end, ("team",))), traffic)


def test_what_costs_next_to_nothing_adds_up(database: Database, books: Books) -> None:
    """langfuse/langfuse#1041: the cost of each small request was rounded to nothing."""
    traffic = Traffic()
    for one in traffic.add("abc", 400):
        one["attempts"] = [{"backend": "c", "zone": "us", "cost": "0.0000000375", "currency": "USD", "price": "policy"}]
    for segment in traffic.segments("abc", 50):
        send(books, *segment)
    assert reading.usage(database, EVER).total.cost == {"USD": Decimal("0.000015")}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_the_log_of_writes_becomes_small_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """abeggled/openbridgeserver#908, anomalyco/opencode#37495: whoever read for long had the log fill the disk, for ever."""
    monkeypatch.setattr(
        "genset.ledger.database._PRAGMAS", (*_PRAGMAS, "journal_size_limit=100000", "wal_autocheckpoint=50")
    )
    database = Database(url)
    database.open()
    books, traffic, log = Books(database), Traffic(), Path(f"{url}-wal")
    traffic.add("abc", 1200)
    segments = traffic.segments("abc", 100)
    with database.reading() as connection:
        assert connection.execute(select(RECORDS.c.id)).all() == []  # as an export does, for minutes
        for segment in segments[:10]:
            send(books, *segment)
        assert log.stat().st_size > 500_000
    for segment in segments[10:]:
        send(books, *segment)
    assert log.stat().st_size < 350_000
    database.close()


def test_whoever_reads_sees_one_moment(database: Database, books: Books) -> None:
    traffic = Traffic()
    traffic.add("abc", 40)
    first, second = traffic.segments("abc", 20)
    send(books, *first)
    with database.reading() as connection:
        before = connection.execute(select(RECORDS.c.id)).all()
        send(books, *second)
        assert connection.execute(select(RECORDS.c.id)).all() == before != []
    with database.reading() as connection:
        assert len(connection.execute(select(RECORDS.c.id)).all()) == 40
