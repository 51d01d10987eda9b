"""What is done to a ledger by hand and by time: verify, backup, export, import, retention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, delete, select, text, update

from genset.cli import main
from genset.ledger import reading
from genset.ledger.books import Books, Sending
from genset.ledger.database import Database
from genset.ledger.decoding import SegmentName
from genset.ledger.facts import DAY
from genset.ledger.questions import BadQuestion
from genset.ledger.report import UsageQuestion
from genset.ledger.retention import Retention, RetentionDays, now
from genset.ledger.tables import DAILY, HOURLY, LINKS, RECORDS
from genset.ledger.transfer import export, import_lines
from genset.ledger.verify import verify
from tests.ledger.test_books import assert_by_hand
from tests.support.ledger import BEGIN, Traffic, egress_segment
from tests.support.ledger_process import EVER

BY_TEAM = UsageQuestion(EVER.begin, EVER.end, ("team",))
LATER = BEGIN + 10**6


@pytest.fixture
def traffic(database: Database) -> Traffic:
    """A month's records and some of what left the house, booked as they came."""
    made, clock = Traffic(31), [0.0]
    books = Books(database, lambda: clock[0])
    made.add("abc", 300, seconds=9000)
    for file, content in made.segments("abc", 20):
        clock[0] = made.spools["abc"][int(file[-10:-4]) * 20 - 1]["time"]
        books.take([Sending(SegmentName.read(file), 0, content)])
    file, content = egress_segment("abc", range(1, 20))
    books.take([Sending(SegmentName.read(file), 0, content)])
    return made


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["ledger", *map(str, arguments)])


def test_what_is_well_is_said_to_be(database: Database, traffic: Traffic, url: str) -> None:
    verdict = verify(database)
    assert (verdict.problems, verdict.missing, verdict.head.number) == ([], [], 38)
    assert f"Head of the chain: {verdict.head}" in run("verify", "--database", url).output
    assert run("verify", "--database", url, "--head", str(verdict.head)).exit_code == 0
    assert run("verify", "--database", url, "--head", "5").exit_code == 2


def changed(table: str, change: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(text(f"UPDATE {table} SET {change}"))


DAMAGE: dict[str, tuple[Callable[[Connection], object], str]] = {
    "a link changed": (
        lambda c: c.execute(update(LINKS).where(LINKS.c.number == 7).values(body=b"{}")), "link 7 is broken"),
    "a link gone": (lambda c: c.execute(delete(LINKS).where(LINKS.c.number == 7)), "link 7 is missing"),
    "the last gone": (lambda c: c.execute(delete(LINKS).where(LINKS.c.number == 38)), "the chain ends at link 37"),
    "a sum of hours changed": (
        changed("hourly", "cost = cost + 1 WHERE slot = (SELECT MAX(slot) FROM hourly)"), "are not those of their records: cost"),
    "a sum of days changed": (changed("daily", "requests = 0"), "requests 0 instead of"),
    "a record gone": (
        lambda c: c.execute(delete(RECORDS).where(RECORDS.c.number == 100)), "are not those of their records: requests"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_is_named(database: Database, traffic: Traffic, url: str, damage: str) -> None:
    head = str(verify(database).head)
    change, problem = DAMAGE[damage]
    with database.writing() as connection:
        change(connection)
    result = run("verify", "--database", url, "--head", head)
    assert result.exit_code == 1 and problem in result.output


def test_what_never_came_is_named(database: Database) -> None:
    traffic = Traffic()
    lines = traffic.add("abc", 10)
    file, content = traffic.segment("abc", 1, [*lines[:3], *lines[5:6], *lines[7:]])
    Books(database).take([Sending(SegmentName.read(file), 0, content)])
    assert verify(database).missing == ["usage of router-abc (law/assistant), request: 4-5, 7"]


def test_an_entry_without_an_end_is_not_lost(database: Database) -> None:
    """Its router was killed, or had nothing more to say: the day of traffic was told of losses that were none."""
    file, content = egress_segment("abc", range(1, 6))
    lines = content.splitlines(keepends=True)
    kept = b"".join(one for number, one in enumerate(lines) if number not in (4, 5, 6))  # an end, and all of the third
    Books(database).take([Sending(SegmentName.read(file), 0, kept)])
    assert verify(database).missing == ["egress of router-1 (law/assistant), begun: 3"]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_damaged_file_is_told(database: Database, traffic: Traffic, url: str) -> None:
    database.close()
    database.relieve()
    content = bytearray(Path(url).read_bytes())
    content[8192 : 8192 + 3000] = b"\xff" * 3000
    Path(url).write_bytes(content)
    assert run("verify", "--database", url).exit_code == 1


def test_an_export_makes_the_same_ledger(database: Database, traffic: Traffic, tmp_path: Path, url: str) -> None:
    file, copy = tmp_path / "all.jsonl.gz", str(tmp_path / "copy.db")
    assert run("export", "--database", url, "--to", file).exit_code == 0
    result = run("import", "--database", copy, file)
    assert result.exit_code == 0, result.output
    there = Database(copy)
    assert list(export(there)) == list(export(database))
    assert_by_hand(reading.usage(there, BY_TEAM), traffic)
    assert verify(there).problems == []
    again = run("import", "--database", copy, file)
    assert again.exit_code == 1 and "import into an empty one" in again.output
    there.close()


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_house_moves_to_postgresql(database: Database, tmp_path: Path) -> None:
    traffic, before = Traffic(5), Database(str(tmp_path / "before.db"))
    before.open()
    traffic.add("abc", 50)
    first, second = traffic.segments("abc", 25)
    Books(before).take([Sending(SegmentName.read(first[0]), 0, first[1])])
    import_lines(database, export(before))
    books = Books(database)
    books.take([Sending(SegmentName.read(file), 0, content) for file, content in (first, second)])
    more = Traffic(6)
    more.add("def", 5)
    books.take([Sending(SegmentName.read(file), 0, content) for file, content in more.segments("def")])
    traffic.spools |= more.spools
    assert_by_hand(reading.usage(database, BY_TEAM), traffic)
    assert verify(database).problems == []


def test_half_an_export_is_refused_whole(database: Database, traffic: Traffic, tmp_path: Path) -> None:
    lines, empty = list(export(database)), str(tmp_path / "empty.db")
    for cut in (lines[:-1], lines[: len(lines) // 2], [*lines[:5], "junk", *lines[5:]], lines[1:], []):
        (tmp_path / "cut.jsonl").write_text("\n".join(cut))
        assert run("import", "--database", empty, tmp_path / "cut.jsonl").exit_code == 1
    held = Database(empty)
    assert reading.usage(held, EVER).total.counts["requests"] == 0
    held.close()


def test_spools_are_carried_by_hand(database: Database, tmp_path: Path, url: str) -> None:
    traffic = Traffic(9)
    traffic.add("abc", 60)
    for file, content in traffic.segments("abc", 20):
        (tmp_path / file).write_bytes(content.ljust(20_000, b"\0"))
    for _ in range(2):
        result = run("import", "--database", url, tmp_path)
        assert result.exit_code == 0, result.output
    assert "Booked 0 new bytes of 3 segments" in result.output
    assert_by_hand(reading.usage(database, BY_TEAM), traffic)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_backup_is_a_ledger(database: Database, traffic: Traffic, tmp_path: Path, url: str) -> None:
    copy = tmp_path / "backup.db"
    assert run("backup", "--database", url, copy).exit_code == 0
    there = Database(str(copy))
    assert_by_hand(reading.usage(there, BY_TEAM), traffic)
    there.close()
    result = run("backup", "--database", url, "/nowhere/backup.db")
    assert result.exit_code == 1 and "name a file on a disk" in result.output
    result = run("backup", "--database", tmp_path / "none.db", copy)
    assert result.exit_code == 1 and "is not there" in result.output


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_postgresql_is_backed_up_by_its_own_means(database: Database, url: str, tmp_path: Path) -> None:
    result = run("backup", "--database", url, tmp_path / "x")
    assert result.exit_code == 1 and "pg_dump" in result.output


@pytest.mark.parametrize(
    ("before", "wall", "elapsed", "expected"),
    [
        (0, 1000, 0, 1000),  # it never ran
        (1000, 1600, 600, 1600),  # time goes on
        (1000, 10**9, 600, 7000),  # the clock jumped ahead
        (1000, 500, 600, 500),  # and back
        (1000, 5000, 0, 1000),  # just started, after it was away
    ],
)
def test_retention_s_clock_does_not_jump_ahead(before: float, wall: float, elapsed: float, expected: float) -> None:
    assert now(before, wall, elapsed) == expected


def sweep(database: Database, kept: RetentionDays, moment: float) -> None:
    retention = Retention(database, kept, lambda: moment, lambda: 0.0)
    while retention.step():
        pass


def test_what_is_old_goes_and_sums_stay(database: Database, traffic: Traffic) -> None:
    end = BEGIN + 300 * 9000
    sweep(database, RetentionDays(raw=10, hourly=20, egress=0), end)
    with database.reading() as connection:
        oldest = connection.execute(select(RECORDS.c.time).order_by(RECORDS.c.time).limit(1)).scalar_one()
        hours = connection.execute(select(HOURLY.c.slot).order_by(HOURLY.c.slot).limit(1)).scalar_one()
        assert oldest > end - 13 * DAY and end - 21 * DAY <= hours * 3600 <= end - 19 * DAY
        assert connection.execute(select(DAILY.c.slot).order_by(DAILY.c.slot).limit(1)).scalar_one() == BEGIN // DAY
    whole = UsageQuestion(BEGIN // DAY * DAY, (end // DAY + 2) * DAY, ("team",))
    assert_by_hand(reading.usage(database, whole), traffic)
    with pytest.raises(BadQuestion, match="sums of hours are kept since 2026-06-09T00:00:00Z"):
        reading.usage(database, UsageQuestion(BEGIN // DAY * DAY + 3600, end // DAY * DAY))
    assert verify(database).problems == []
    books = Books(database)  # what is sent again after its records are gone books nothing
    for file, content in traffic.segments("abc", 30):
        books.take([Sending(SegmentName.read(file), 0, content)])
        books.take([Sending(SegmentName.read(f"usage-abc-9{file[-10:]}"), 0, content)])
    assert_by_hand(reading.usage(database, whole), traffic)


def test_the_chain_goes_on_where_its_beginning_went(
    database: Database, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genset.ledger.retention.SLICE", 4)
    noted = verify(database).head
    moment = traffic.spools["abc"][-1]["time"] + 40 * DAY
    books = Books(database, lambda: moment)
    file, content = egress_segment("def", range(1, 4))
    books.take([Sending(SegmentName.read(file), 0, content)])
    sweep(database, RetentionDays(raw=0, hourly=0, egress=30), moment)
    verdict = verify(database, noted)
    assert (verdict.problems, verdict.head.number) == ([], 44)
    assert "the chain, from link 39 to 44" in verdict.looked
    sweep(database, RetentionDays(raw=0, hourly=0, egress=1), moment + 5 * DAY)  # all of it
    sweep(database, RetentionDays(raw=0, hourly=0, egress=1), moment + 5 * DAY)
    file, content = egress_segment("ghi", range(1, 2))
    books.take([Sending(SegmentName.read(file), 0, content)])
    assert verify(database).problems == []
