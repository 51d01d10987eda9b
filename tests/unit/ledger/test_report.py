"""Reports say the same whatever they are told apart by, and are read as they are written."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from genset.contracts.ledger import DIMENSIONS, TIMES
from genset.ledger.decoding import SegmentName, decode
from genset.ledger.facts import HOUR, Sums, add, facts
from genset.ledger.questions import BadQuestion, query, question
from genset.ledger.report import UsageQuestion, UsageReport, report
from tests.support.ledger import BEGIN, Traffic

SPAN = (BEGIN // HOUR * HOUR, BEGIN + 10**6)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    made = Traffic(7)
    made.add("abc", 400, seconds=900)
    return made


@pytest.fixture(scope="module")
def sums(traffic: Traffic) -> Sums:
    found: Sums = {}
    for file, content in traffic.segments("abc"):
        for line in decode(SegmentName.read(file), None, content).lines:
            assert line.record is not None
            add(found, facts(line.record), HOUR)
    return found


def asked(sums: Sums, *by: str, **more: object) -> UsageReport:
    made = UsageQuestion(*SPAN, by, **more)  # type: ignore[arg-type]
    return report(made, ((slot, series, row) for (slot, series), row in sums.items()))


def test_it_is_what_a_hand_reckons(traffic: Traffic, sums: Sums) -> None:
    found = asked(sums, "team")
    for row in found.rows:
        hand = traffic.by_hand()[row.key[0]]
        assert {f"cost {c}": a for c, a in row.cost.items()} == {k: v for k, v in hand.items() if k.startswith("cost")}
        assert {f"avoided {c}": a for c, a in row.avoided.items()} == {
            k: v for k, v in hand.items() if k.startswith("avoid")
        }
        for name in ("requests", "answered", "attempts", "prompt", "completion"):
            assert row.counts[name] == hand.get(name, 0), name


@pytest.mark.parametrize("word", [*DIMENSIONS, *TIMES])
def test_the_total_is_the_same_by_whatever_it_is_told_apart(sums: Sums, word: str) -> None:
    whole, found = asked(sums), asked(sums, word)
    assert found.total == whole.total
    for name, value in whole.total.counts.items():
        assert sum(row.counts[name] for row in found.rows) == value
    assert sum((row.cost.get("USD", Decimal()) for row in found.rows), Decimal()) == whole.total.cost["USD"]


def test_the_share_of_the_house(sums: Sums) -> None:
    total, by_zone = asked(sums).total, {row.key[0]: row for row in asked(sums, "zone").rows}
    assert total.house_share == Decimal(100 * by_zone["house"].counts["answered"]) / total.counts["answered"]
    assert by_zone["house"].house_share == 100 and by_zone["us"].house_share == 0
    assert by_zone[""].house_share is None


def test_only_what_is_asked_for(sums: Sums) -> None:
    found = asked(sums, "team", only={"team": "law", "zone": "us"})
    assert [row.key for row in found.rows] == [("law",)]
    assert found.total.cost["USD"] < asked(sums).total.cost["USD"]


def test_days_begin_in_the_time_zone_that_is_asked_for(sums: Sums) -> None:
    here = {row.key[0]: row.counts["requests"] for row in asked(sums, "day").rows}
    there = {
        row.key[0]: row.counts["requests"] for row in asked(sums, "day", time_zone=ZoneInfo("Pacific/Auckland")).rows
    }
    assert sum(here.values()) == sum(there.values()) and here != there


def test_a_report_is_read_as_it_is_written(sums: Sums) -> None:
    found = asked(sums, "day", "team")
    assert UsageReport.read(found.question, found.told()) == found


@pytest.mark.parametrize("by", [(), ("team", "day")])
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin")])
def test_a_question_is_read_as_it_is_written(by: tuple[str, ...], zone: ZoneInfo) -> None:
    made = UsageQuestion(*SPAN[:1], SPAN[1] // HOUR * HOUR, by, {"team": "law"}, zone)
    assert question(query(made)) == made


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"by": "teams"}, "'teams' is nothing that usage is told apart by; take some of policy, consumer"),
        ({"by": "day,month"}, "take one of hour, day, month"),
        ({"to": "0"}, "the end must be after the begin"),
        ({"from": "yesterday"}, "write seconds since 1970"),
        ({"from": ""}, "write seconds since 1970"),
        ({"timeZone": "Mars"}, "'Mars' is no time zone"),
        ({"timeZone": "../../etc/passwd"}, "is no time zone"),
        ({"since": "1"}, "'since' is nothing that can be asked"),
    ],
)
def test_what_cannot_be_asked_is_told(more: dict[str, str], why: str) -> None:
    with pytest.raises(BadQuestion, match=why):
        question({"from": "0", "to": "3600", **more})
