"""Usage records are read as they were written, in whichever moment their writer was killed, and never as anything else."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.usage import line, opening
from genset.contracts.usage_records import UsageAttempt, UsageReader, UsageRecord, segment_name

OPENING = opening("abc", "law/p", "pod-1", 1.0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TOKENS = st.integers(0, 2**63 - 1)
MONEY = st.none() | st.decimals(0, 10**9, places=12, allow_nan=False, allow_infinity=False)
ATTEMPTS = st.builds(
    UsageAttempt,
    *[TEXTS, st.integers(0, 16), TEXTS, TEXTS, TEXTS, TEXTS, TEXTS],
    *[TOKENS] * 10,
    estimated=st.booleans(),
    cost=MONEY,
    currency=TEXTS,
    price=TEXTS.filter(bool),
)
RECORDS = st.builds(
    UsageRecord,
    *[st.just("abc"), TOKENS, st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000), st.just("law/p"), st.just("pod-1")],
    st.integers(0, 10**7).map(lambda ms: ms / 1000),
    *[TEXTS] * 6,
    status=st.integers(0, 599),
    outcome=TEXTS,
    drill=TEXTS,
    avoided=MONEY,
    avoided_currency=TEXTS,
    attempts=st.lists(ATTEMPTS, max_size=3).map(tuple),
)


@given(st.lists(RECORDS, max_size=4), st.data())
def test_records_are_read_as_they_were_written_in_whatever_pieces_they_come(
    records: list[UsageRecord], data: st.DataObject
) -> None:
    lines = [OPENING, *(line(record.body()) for record in records)]
    cut = data.draw(st.integers(1, len(lines)))
    reader = UsageReader()
    read = reader.read(b"".join(lines[:cut]))
    later = UsageReader(reader.incarnation, reader.policy, reader.router)
    assert read + later.read(b"".join(lines[cut:])) == records and not reader.torn + later.torn


PARIS = UsageAttempt(
    "paris", 1, "eu", "small", outcome="server_error", prompt=12, cost=Decimal("1E-7"), currency="EUR", price="policy"
)
HOUSE = UsageAttempt("house", outcome="ok", prompt=12, completion=34, reasoning=4, estimated=True, price="house")
RECORD = UsageRecord(
    incarnation="abc",
    number=17,
    time=1780000000.25,
    policy="law/p",
    router="pod-1",
    seconds=1.5,
    request="r1",
    consumer="invoices",
    team="accounting",
    route="files",
    api="messages",
    model="asked",
    status=200,
    outcome="ok",
    avoided=Decimal("0.0012340"),
    avoided_currency="USD",
    attempts=(PARIS, HOUSE),
)


def test_a_line_is_short_and_its_money_has_all_its_digits() -> None:
    told = orjson.loads(RECORD.body())
    assert (told["avoided"], told["attempts"][0]["cost"]) == ("0.0012340", "0.0000001")
    assert told["attempts"][1] == {
        "backend": "house",
        "outcome": "ok",
        "prompt": 12,
        "completion": 34,
        "reasoning": 4,
        "estimated": True,
        "price": "house",
    }
    assert "drill" not in told and segment_name("abc", 3) == "usage-abc-000003.log"


WHOLE = OPENING + line(RECORD.body()) * 3


@given(st.integers(0, len(WHOLE)), st.integers(0, 64))
def test_whatever_was_finished_before_the_end_is_read_and_nothing_else(size: int, unused: int) -> None:
    reader = UsageReader()
    done = (size + 1 - len(OPENING)) // len(line(RECORD.body()))  # the last line may lack its line feed
    assert reader.read(WHOLE[:size] + bytes(unused)) == [RECORD] * max(done, 0)
    assert reader.torn <= 1


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_a_disk_has_spoilt_makes_no_other_record(place: int, change: int) -> None:
    reader = UsageReader()
    spoilt = WHOLE[:place] + bytes([WHOLE[place] ^ change]) + WHOLE[place + 1 :]
    assert all(record == RECORD for record in reader.read(spoilt))


@pytest.mark.parametrize("cost", ['"a lot"', "1.5", '"NaN"', '"-1"', '"Infinity"', "null", "[]"])
def test_money_that_is_none_is_not_known(cost: str) -> None:
    body = b'{"kind":"request","n":1,"time":1,"attempts":[{"backend":"b","cost":%b}, 7]}' % cost.encode()
    (record,) = UsageReader("abc").read(line(body))
    assert record.attempts == (UsageAttempt("b"),)


def test_what_a_newer_router_writes_besides_is_no_reason_to_lose_a_record() -> None:
    later = b'{"kind":"request","n":2,"time":1,"colour":"red","attempts":[{"backend":"b","joules":3}]}'
    reader = UsageReader("abc")
    (record,) = reader.read(line(b'{"kind":"rumour"}') + line(later))
    assert (record.number, record.attempts, reader.torn) == (2, (UsageAttempt("b"),), 0)
