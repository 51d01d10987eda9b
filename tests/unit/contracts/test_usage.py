"""Spools are read rightly, in whichever moment their writer was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.usage import EgressReading, line
from genset.router.http.egress import EgressBook, spool_line, spool_line_behind
from genset.router.http.spool import SEGMENT_BYTES, SEGMENTS, SEGMENTS_LEFT, Spool

OPENING = line(b'{"kind":"opened","version":1,"incarnation":"abc","policy":"law/p","router":"pod-1","time":1.0}')
PLACE = ("paris", "eu", "api.mistral.ai")


def begun(number: int) -> bytes:
    told = {"kind": "begun", "n": number, "time": 2.0, "request": f"r{number}", "consumer": "c", "route": "all"}
    return line(orjson.dumps({**told, "backend": "paris", "zone": "eu", "host": "h", "bytesOut": 7}))


def ended(number: int) -> bytes:
    told = {"kind": "ended", "n": number, "time": 3.0, "bytesOut": 7, "bytesIn": 9, "inputTokens": 1, "outputTokens": 2}
    return line(orjson.dumps({**told, "outcome": "ok"}))


WHOLE = OPENING + b"".join(begun(number) + ended(number) for number in range(1, 4))


@given(st.binary(max_size=200))
def test_routers_write_lines_as_their_readers_expect_them(body: bytes) -> None:
    assert spool_line(body) == line(body)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_lines_that_begin_alike_are_written_as_all_are(common: bytes, rest: bytes) -> None:
    assert spool_line_behind(common, crc32(common), rest) == line(common + rest)


@given(st.integers(0, len(WHOLE)), st.integers(0, 64))
def test_whatever_was_finished_before_the_end_is_read_and_nothing_else(size: int, unused: int) -> None:
    reading = EgressReading()
    reading.add(WHOLE[:size] + bytes(unused))
    done = [number for number in range(1, 4) if WHOLE.index(begun(number)) + len(begun(number)) - 1 <= size]
    assert [entry.number for entry in reading.found()] == done
    assert all(
        entry.bytes_out == 7 and entry.incarnation == "abc" and entry.policy == "law/p" for entry in reading.found()
    )
    finished = [e.number for e in reading.found() if e.ended is not None]
    assert finished == [number for number in range(1, 4) if WHOLE.index(ended(number)) + len(ended(number)) - 1 <= size]
    assert reading.torn <= 1


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_a_disk_has_spoilt_makes_no_other_record(place: int, change: int) -> None:
    reading = EgressReading()
    reading.add(WHOLE[:place] + bytes([WHOLE[place] ^ change]) + WHOLE[place + 1 :])
    for entry in reading.found():
        assert entry.request == f"r{entry.number}" and entry.bytes_out == 7 and entry.bytes_in in (9, None)


def test_segments_in_any_order_and_twice_count_once() -> None:
    reading = EgressReading()
    for segment in (OPENING + ended(1), OPENING + begun(1), OPENING + ended(1)):
        reading.add(segment)
    (entry,) = reading.found()
    assert (entry.number, entry.outcome, entry.bytes_in, entry.output_tokens) == (1, "ok", 9, 2)


def spool(folder: Path, **more: Any) -> Spool:
    return Spool(folder, more.get("identity", "abc"), OPENING)


def read(folder: Path) -> EgressReading:
    reading = EgressReading()
    for path in folder.iterdir():
        reading.add(path.read_bytes())
    return reading


def test_lines_are_in_the_file_as_soon_as_they_are_written(tmp_path: Path) -> None:
    """Nobody flushes or closes here: that is what a kill leaves."""
    one = spool(tmp_path)
    egress = EgressBook(one, lambda: 5.0, lambda: 0.0)
    entry = egress.begun(b"r1", "invoices", "all", PLACE, 120)
    assert entry is not None
    (found,) = read(tmp_path).found()
    assert (found.request, found.consumer, found.zone, found.host, found.bytes_out) == (
        "r1",
        "invoices",
        "eu",
        PLACE[2],
        120,
    )
    assert found.ended is None and found.bytes_in is None
    entry.ended("cancelled", (3, 4), None)
    (found,) = read(tmp_path).found()
    assert (found.outcome, found.input_tokens, found.output_tokens) == ("cancelled", 3, 4)


def test_a_spool_is_bounded_and_the_oldest_make_way(tmp_path: Path) -> None:
    one = spool(tmp_path)
    each = line(b'{"kind":"begun","n":1,"backend":"b","padding":"%b"}' % (b"x" * 500_000))
    for _ in range(3 * SEGMENTS):
        assert one.add(each, 0.0)
    assert len(one.names()) == SEGMENTS and one.lost > 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= SEGMENTS * SEGMENT_BYTES


@pytest.mark.timeout(30)
def test_who_adds_lines_does_not_wait_for_a_disk_that_is_slow(tmp_path: Path) -> None:
    one = spool(tmp_path)
    each = line(b'{"kind":"begun","n":1,"backend":"b","padding":"%b"}' % (b"x" * 500_000))
    with one._lock:  # as a sync holds it for as long as the disk takes
        for _ in range(2 * SEGMENTS_LEFT):
            assert one.add(each, 0.0)
    one.sync()
    one.close()
    assert sum(one.content(name).count(b'"begun"') for name in one.names()) == 2 * SEGMENTS_LEFT  # type: ignore[union-attr]


def test_a_disk_without_room_is_told_and_looked_at_again(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    one = spool(blocked)
    assert not one.add(begun(1), 0.0) and "spool" in one.failing
    egress = EgressBook(one, lambda: 5.0, lambda: 0.1)
    assert egress.refuses == "" and egress.begun(b"r", "", "all", PLACE, None) is not None and egress.unkept == 1
    egress.require(True)
    assert egress.refuses and egress.begun(b"r", "", "all", PLACE, None) is None
    blocked.unlink()
    one.look(0.5)
    assert egress.refuses, "one look a second is enough"
    one.look(2.0)
    assert not egress.refuses and one.add(begun(1), 2.0)
    assert len(read(blocked).found()) == 1


def test_a_second_process_writes_beside_the_first_one(tmp_path: Path) -> None:
    for identity in ("one", "two"):
        opening = line(b'{"kind":"opened","incarnation":"%b"}' % identity.encode())
        assert Spool(tmp_path, identity, opening).add(begun(1), 0.0)
    assert [(entry.incarnation, entry.number) for entry in read(tmp_path).found()] == [("one", 1), ("two", 1)]
