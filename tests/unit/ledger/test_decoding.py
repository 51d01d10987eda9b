"""Pieces of segments are read wherever they are cut, and whatever became of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.contracts.usage import line
from genset.ledger.decoding import BadPiece, Piece, SegmentName, SpoolLine, SpoolWriter, decode
from tests.support.ledger import Traffic, egress_segment

TRAFFIC = Traffic()
TRAFFIC.add("abc", 12)
FILE, SEGMENT = TRAFFIC.segments("abc")[0]
NAME = SegmentName.read(FILE)
WHOLE = decode(NAME, None, SEGMENT)


def test_a_segment_is_read() -> None:
    assert [one.number for one in WHOLE.lines] == list(range(1, 13))
    assert WHOLE.writer == SpoolWriter("law/assistant", "router-abc", 1_780_000_000)
    assert (WHOLE.size, WHOLE.torn) == (len(SEGMENT), 0)


@given(st.lists(st.integers(0, len(SEGMENT)), max_size=6))
@example([5])
def test_pieces_are_read_wherever_a_segment_is_cut(cuts: list[int]) -> None:
    found: list[SpoolLine] = []
    have, writer = 0, None
    for end in [*sorted(cuts), len(SEGMENT)]:
        piece = decode(NAME, writer, SEGMENT[have:end])
        found += piece.lines
        have += piece.size
        writer = piece.writer if have else None
    assert (found, have) == (WHOLE.lines, len(SEGMENT))


@given(st.integers(0, len(SEGMENT) - 1), st.binary(min_size=1, max_size=9))
@example(SEGMENT.index(b'"kind":"request"'), b"\n\n")
@example(0, b"\0")
def test_what_is_spoilt_is_left_out_and_nothing_else(place: int, junk: bytes) -> None:
    spoilt = SEGMENT[:place] + junk + SEGMENT[place + len(junk) :]
    try:
        piece = decode(NAME, None, spoilt)
    except BadPiece:
        assert place < SEGMENT.index(b"\n") + 1  # who wrote it cannot be read any more
        return
    known = {one.number: one for one in WHOLE.lines}
    assert all(known[one.number] == one for one in piece.lines)
    broken = 1 + junk.count(b"\n") + spoilt.count(b"\n", place, place + len(junk))
    assert len(piece.lines) >= len(WHOLE.lines) - broken - SEGMENT.count(b"\n", place, place + len(junk))
    if spoilt != SEGMENT:
        assert len(piece.lines) < len(WHOLE.lines) or piece.torn or place + len(junk) >= len(SEGMENT)


@pytest.mark.parametrize("room", [b"\0" * 500, b'1234abcd {"kind":"requ', b'1234abcd {"kin\0\0\0\0'])
def test_what_is_not_written_yet_is_left_for_later(room: bytes) -> None:
    piece = decode(NAME, None, SEGMENT + room)
    assert (piece.size, piece.lines, piece.torn) == (len(SEGMENT), WHOLE.lines, 0)


@pytest.mark.parametrize(
    "file",
    [
        "",
        "usage-abc.log",
        "usage-abc-1.txt",
        "../usage-abc-1.log",
        "usage-a/b-1.log",
        "usage-abc-1.log\n",
        "other-abc-1.log",
    ],
)
def test_what_is_no_segment_is_refused(file: str) -> None:
    with pytest.raises(BadPiece, match="no segment's name"):
        SegmentName.read(file)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (SEGMENT[SEGMENT.index(b"\n") + 1 :], "does not begin"),
        (SEGMENT.replace(b"abc", b"abd"), "does not begin"),  # its checksum is wrong, too
        (line(b'{"kind":"opened","incarnation":"x"}') + SEGMENT, "another incarnation"),
        (b"junk\n", "does not begin"),
        (SEGMENT + line(b'{"kind":"opened","version":1,"incarnation":"abc","policy":"x/y"}'), "in it stands x/y"),
    ],
)
def test_a_piece_whose_writer_is_not_known_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadPiece, match=why):
        decode(NAME, None, body)


def test_a_line_that_cannot_be_told_from_others_is_not_booked() -> None:
    odd = [b'{"kind":"request"}', b'{"kind":"request","n":-1}', b'{"kind":"request","n":"1"}', b"[]", b'{"kind":"new"}']
    piece = decode(NAME, WHOLE.writer, b"".join(map(line, odd)))
    assert piece.lines == []
    assert piece.torn == 4  # a kind of a later release is no damage


def test_egress_is_kept_as_it_is() -> None:
    file, segment = egress_segment("abc", range(1, 3))
    piece = decode(SegmentName.read(file), None, segment)
    assert [(one.what, one.number) for one in piece.lines] == [("begun", 1), ("ended", 1), ("begun", 2), ("ended", 2)]
    assert b"".join(map(line, (one.body for one in piece.lines))) == segment[segment.index(b"\n") + 1 :]


def test_what_a_piece_holds_is_what_was_written() -> None:
    assert b"".join(line(one.body) for one in WHOLE.lines) == SEGMENT[SEGMENT.index(b"\n") + 1 :]
    assert replace(WHOLE, lines=[]) == Piece(WHOLE.writer, len(SEGMENT))
