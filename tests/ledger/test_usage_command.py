"""`genset usage`: the same sums from a spool, a database and a ledger; every form; errors that say what to do."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from openpyxl import load_workbook

from genset.cli import main
from genset.contracts.ledger import READER, token
from tests.support.ledger import Traffic
from tests.support.ledger_process import KEY, LedgerProcess

SPAN = ("--from", "2026-05", "--to", "2026-07")


@pytest.fixture
def spool(tmp_path: Path) -> tuple[Path, Traffic]:
    traffic, folder = Traffic(21), tmp_path / "spool"
    folder.mkdir()
    for incarnation in ("abc", "def"):
        traffic.add(incarnation, 150, seconds=3000)
        for file, content in traffic.segments(incarnation):
            (folder / file).write_bytes(content.ljust(40_000, b"\0"))  # room that is not used
    return folder, traffic


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["usage", *map(str, arguments)])


def output(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_spool_database_and_ledger_say_the_same(spool: tuple[Path, Traffic], tmp_path: Path) -> None:
    folder, traffic = spool
    ledger = LedgerProcess(tmp_path, str(tmp_path / "ledger.db"))
    ledger.start()
    try:
        for incarnation in traffic.spools:
            for file, content in traffic.segments(incarnation):
                ledger.send(file, content)
        reader = tmp_path / "reader"
        reader.write_text(token(KEY, READER))
        asked = (*SPAN, "--by", "month,team,model", "--time-zone", "Europe/Berlin", "-o", "json")
        answered = output("--ledger", ledger.url, "--token-file", reader, *asked)
        assert output("-f", folder, *asked) == output("--database", tmp_path / "ledger.db", *asked) == answered
        assert json.loads(answered)["total"]["requests"] == 300
    finally:
        ledger.stop()


def test_a_table_for_people(spool: tuple[Path, Traffic]) -> None:
    folder, traffic = spool
    lines = output("-f", folder, *SPAN, "--by", "team").splitlines()
    assert lines[0].split() == [
        "TEAM", "REQUESTS", "ANSWERED", "ATTEMPTS", "FAILOVERS", "PROMPT", "CACHED", "COMPLETION", "REASONING", "HOUSE", "COST",
        "AVOIDED",
    ]  # fmt: skip
    hand = traffic.by_hand()["law"]
    law = next(line for line in lines if line.startswith("law"))
    assert f"{hand['cost EUR']:.2f} EUR + {hand['cost USD']:.2f} USD" in law
    assert law.split()[1] == str(hand["requests"])
    assert "from 2026-05-01T00:00:00Z to 2026-07-01T00:00:00Z" in lines


def test_csv_has_all_digits(spool: tuple[Path, Traffic]) -> None:
    folder, traffic = spool
    found = list(csv.DictReader(io.StringIO(output("-f", folder, *SPAN, "--by", "consumer", "-o", "csv"))))
    hand = traffic.by_hand("consumer")
    assert {row["consumer"]: Decimal(row["cost USD"]) for row in found} == {
        c: row["cost USD"] for c, row in hand.items()
    }


def test_a_workbook_is_one(spool: tuple[Path, Traffic], tmp_path: Path) -> None:
    folder, traffic = spool
    result = run("-f", folder, *SPAN, "--by", "team", "-o", "xlsx")
    file = tmp_path / "usage.xlsx"
    file.write_bytes(result.stdout_bytes)
    heads, *rows, total = load_workbook(file)["usage"].iter_rows(values_only=True)
    assert [row[0] for row in rows] == ["accounting", "law"] and total[0] == "total"
    column = heads.index("cost USD")
    for row in rows:
        assert row[column] == pytest.approx(float(traffic.by_hand()[str(row[0])]["cost USD"]), abs=1e-9)


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    traffic = Traffic()
    for one in traffic.add("abc", 2):
        one["consumer"] = '=cmd|" /C calc"!A0'
    ((file, content),) = traffic.segments("abc")
    (tmp_path / file).write_bytes(content)
    assert "\"'=cmd|" in output("-f", tmp_path / file, *SPAN, "--by", "consumer", "-o", "csv")
    result = run("-f", tmp_path / file, *SPAN, "--by", "consumer", "-o", "xlsx")
    (tmp_path / "x.xlsx").write_bytes(result.stdout_bytes)
    cell = load_workbook(tmp_path / "x.xlsx")["usage"]["A2"]
    assert (cell.data_type, cell.value) == ("s", '=cmd|" /C calc"!A0')


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
def test_days_add_up_to_their_span_in_every_time_zone(spool: tuple[Path, Traffic], zone: str) -> None:
    """BerriAI/litellm#29568: days that were asked for one by one came to twice their sum, half an hour off UTC."""
    folder, _ = spool
    shared = ("-f", folder, "--time-zone", zone, "-o", "json")
    days = [f"2026-06-{day:02d}" for day in range(1, 9)]
    whole = json.loads(output(*shared, "--from", days[0], "--to", days[-1], "--by", "day"))
    alone = [json.loads(output(*shared, "--from", a, "--to", b)) for a, b in pairwise(days)]
    by_day = {row["day"]: row["requests"] for row in whole["rows"]}
    assert [one["total"]["requests"] for one in alone] == [by_day.get(day, 0) for day in days[:-1]]
    assert sum(by_day.values()) == whole["total"]["requests"] > 100


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--by", "teams"), "'teams' is none of policy, consumer"),
        (("--only", "team"), "write e.g. team=law"),
        (("--only", "who=x"), "'who' is no WORD=VALUE of policy"),
        (("--from", "yesterday"), "'yesterday' is no moment; write e.g. 2026-11"),
        (("--from", "2026-11", "--to", "2026-10"), "the end must be after the begin"),
        (("--by", "day,month"), "take one of hour, day, month"),
        (("--time-zone", "Mars"), "'Mars' is no time zone"),
        (("--ledger", "http://127.0.0.1:1"), "--ledger and --token-file belong together"),
        (("--database", "x", "-n", "y"), "take one of"),
        (("--database", "/nowhere/ledger.db"), "/nowhere/ledger.db is not there; name the ledger's database"),
        (("--database", "mysql://x/y"), "is no postgresql://"),
    ],
)
def test_errors_say_what_to_do(arguments: tuple[str, ...], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert why in result.output, result.output


def test_a_ledger_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "reader").write_text("x")
    result = run("--ledger", "http://127.0.0.1:1", "--token-file", tmp_path / "reader")
    assert result.exit_code == 1 and "give the address of a ledger" in result.output


def test_a_spool_that_is_none_is_told(tmp_path: Path) -> None:
    result = run("-f", tmp_path)
    assert result.exit_code == 1 and "no segment usage-*.log in there" in result.output
