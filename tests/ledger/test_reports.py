"""What the house avoids, at which use it is cheaper, who answers by size, what left: asked of real books from a command line."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genset.cli import main
from genset.contracts.ledger import READER, token
from genset.ledger import reading
from genset.ledger.books import Books, Sending
from genset.ledger.database import Database
from genset.ledger.decoding import SegmentName
from tests.support import ledger as made
from tests.support.ledger import Traffic, egress_segment
from tests.support.ledger_process import KEY, LedgerProcess

SPAN = ("--from", "2026-05", "--to", "2026-07")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def output(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def books(tmp_path: Path) -> tuple[str, Traffic]:
    """A database with a few days of June, and the traffic that it holds."""
    url, traffic = str(tmp_path / "books.db"), Traffic(77)
    traffic.add("abc", 300, seconds=900)
    database = Database(url)
    database.open()
    taken = Books(database)
    for file, content in traffic.segments("abc"):
        taken.take([Sending(SegmentName.read(file), 0, content)])
    database.close()
    return url, traffic


def by_house(traffic: Traffic) -> tuple[int, Decimal]:
    """Counts answers of the house and what they avoided, from the lines."""
    ended = [one for one in traffic.spools["abc"] if "avoided" in one]
    return sum(one["outcome"] == "ok" for one in ended), sum((Decimal(one["avoided"]) for one in ended), Decimal())


def test_what_was_avoided_stands_beside_what_the_house_costs(books: tuple[str, Traffic]) -> None:
    url, traffic = books
    answers, avoided = by_house(traffic)
    told = output("usage", "--database", url, *SPAN, "--avoided", "--per-hour", "0.40EUR")
    (line,) = [one for one in told.splitlines() if one.startswith("total")]
    assert line.split()[1] == str(answers) and line.split()[-2:] == [f"{avoided:.2f}", "USD"]
    assert "the house cost 585.60 EUR in this time" in told, "61 days of 24 hours at 0.40"
    assert "nobody says what the house costs" in output("usage", "--database", url, *SPAN, "--avoided")


def test_the_use_at_which_the_house_is_cheaper(books: tuple[str, Traffic]) -> None:
    url, traffic = books
    answers, avoided = by_house(traffic)
    told = json.loads(output("breakeven", "--database", url, *SPAN, "--per-hour", "qwen=0.02USD", "-o", "json"))
    (row,) = told["rows"]
    first = made.BEGIN // 86_400 * 86_400
    assert told["from"] == first, "the span begins with the first day of which there is a record"
    hours = Decimal(told["to"] - first) / 3600
    assert (row["answers"], Decimal(row["houseCost"])) == (answers, hours * Decimal("0.02"))
    assert Decimal(row["perAnswer"]) == pytest.approx(avoided / answers)
    assert Decimal(row["evenAt"]) == pytest.approx(Decimal("0.02") * answers / avoided)
    assert row["cheaper"] == ("house" if avoided > hours * Decimal("0.02") else "cloud")
    table = output("breakeven", "--database", url, *SPAN, "--per-hour", "qwen=0.02USD")
    assert "qwen" in table and "EVEN AT:" in table
    assert "qwen: nobody says what it costs the house" in output("breakeven", "--database", url, *SPAN)
    assert output("breakeven", "--database", url, *SPAN, "-o", "csv").splitlines()[0].startswith("model,hours,answers")


def test_shares_of_sizes_over_time(books: tuple[str, Traffic], tmp_path: Path) -> None:
    url, traffic = books
    told = json.loads(output("usage", "--database", url, *SPAN, "--shares", "--by", "day", "-o", "json"))
    sizes = [row for row in told["rows"] if row["kind"] == "size"]
    ok = [one for one in traffic.spools["abc"] if one["outcome"] == "ok" and one.get("attempts")]
    small = sum(one["attempts"][-1].get("sizeClass") == "small" for one in ok)
    assert sum(row["answers"] for row in sizes if (row["class"], row["side"]) == ("small", "house")) == small
    assert sum(row["answers"] for row in sizes) == len(ok)
    assert "PARAMETERS IN TOTAL" in output("usage", "--database", url, *SPAN, "--shares")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("usage", "--avoided", "--shares"), "take one of --avoided and --shares"),
        (("usage", "--per-hour", "1EUR"), "--per-hour belongs to --avoided"),
        (("usage", "--shares", "--by", "team"), "--shares is by a time alone"),
        (("usage", "--shares", "-o", "xlsx"), "--shares has none: take csv"),
        (("usage", "--avoided", "--per-hour", "cheap"), "'cheap' is no price; write e.g. 0.40EUR"),
        (("usage", "--avoided", "--per-hour", "1EUR", "--per-hour", "a=1EUR"), "one price for the house, or one for each"),
        (("breakeven", "--database", "x", "-n", "y"), "take one of"),
        (("egress",), "say where from"),
        (("egress", "-f", "/tmp", "law/assistant"), "a ledger's is named NAMESPACE/POLICY"),
        (("egress", "--ledger", "http://127.0.0.1:1"), "--ledger URL and --token-file belong together"),
        (("egress", "--database", "/nowhere/x.db"), "/nowhere/x.db is not there; name the ledger's database"),
        (("egress", "--database", "x.db", "--context", "c"), "--context belongs to"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(arguments: tuple[str, ...], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0 and why in result.output, result.output


def test_a_span_without_records_is_told(books: tuple[str, Traffic]) -> None:
    result = run("breakeven", "--database", books[0], "--from", "2020-01", "--to", "2020-02")
    assert result.exit_code == 1 and "there is no record in this span" in result.output


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_left_is_read_from_a_ledger_and_from_its_database(
    tmp_path: Path, ledger: LedgerProcess, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "BEGIN", int(time.time()) - 3600)
    monkeypatch.setattr(reading, "MOST_LINES", 7)  # of the database; the ledger's own is a process
    for incarnation, policy in (("e1", "law/assistant"), ("e2", "law/other")):
        file, content = egress_segment(incarnation, range(1, 21), policy)
        ledger.send(file, content)
    reader = tmp_path / "reader"
    reader.write_text(token(KEY, READER))
    asked = ("--since", "2h", "-o", "csv")
    told = output("egress", "--ledger", ledger.url, "--token-file", reader, *asked)
    assert len(told.splitlines()) == 41 and told == output("egress", "--database", url, *asked)
    one = output("egress", "law/other", "--database", url, *asked)
    assert len(one.splitlines()) == 21 and "law/assistant" not in one
    assert "0 attempts" in output("egress", "--database", url, "--since", "10s")
    wrong = run("egress", "--ledger", "http://127.0.0.1:1", "--token-file", reader)
    assert wrong.exit_code == 1 and "give the address of a ledger" in wrong.output
    reader.write_text("nobody")
    refused = run("egress", "--ledger", ledger.url, "--token-file", reader)
    assert refused.exit_code == 1 and "no token of this ledger" in refused.output
