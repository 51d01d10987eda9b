"""What a known head says of an answer is what the HTTP parser says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.backends.known_head import KnownHead, KnownHeads, learn


@dataclass
class Parsed:
    """One answer, as the parser tells of it."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    complete: int = 0
    keep_alive: bool = False
    status: int = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete += 1
        self.keep_alive = self.parser.should_keep_alive()
        self.status = self.parser.get_status_code()

    def read(self, data: bytes) -> Parsed:
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)
        return self


def learned(data: bytes) -> KnownHead | None:
    parsed = Parsed().read(data)
    assert parsed.complete == 1
    return learn(data, parsed.headers)


def sized(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % body


def test_an_answer_under_a_known_head_is_its_body() -> None:
    known = learned(sized(b"{}", b"server: x"))
    assert known is not None
    assert known.body(sized(b'{"model": "counting"}', b"server: x")) == b'{"model": "counting"}'
    assert known.headers == {b"server": b"x"}


@pytest.mark.parametrize(
    "data",
    [
        sized(b"{}", b"server: y"),
        sized(b"{}"),
        sized(b"{}", b"server: x")[:-1],
        sized(b"{}", b"server: x") + b" ",
        sized(b"{}", b"server: x") + sized(b"{}", b"server: x"),
        sized(b"{}", b"server: x").replace(b": 2\r", b": +2\r"),
        sized(b"{}", b"server: x").replace(b": 2\r", b": \r"),
        sized(b"{}", b"server: x").replace(b": 2\r", b": 2 \r"),
        sized(b"{}", b"server: x").replace(b": 2\r", b": 0000000002\r"),
        sized(b"{}", b"server: x").replace(b": 2\r", ": \u0662\r".encode()),
        b"",
        b"HTTP",
    ],
)
def test_anything_else_goes_to_the_parser(data: bytes) -> None:
    known = learned(sized(b"{}", b"server: x"))
    assert known is not None
    assert known.body(data) is None


@pytest.mark.parametrize(
    "data",
    [
        sized(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
        sized(b"{}", status=b"429 Too Many Requests"),
        sized(b"{}", b"connection: close"),
        sized(b"{}", b"connection: keep-alive, x-more"),
        sized(b"{}", b"content-encoding: gzip"),
        sized(b"{}", b"x: " + b"y" * 2048),
        chunked(b"x").replace(b"0\r\n\r\n", b"0\r\nx-checksum: 1\r\n\r\n"),
        chunked(b"x").replace(b"1\r\n", b"1;extension\r\n"),
        chunked(b"x" * 4096),
    ],
)
def test_what_is_read_in_another_way_is_not_learned(data: bytes) -> None:
    assert learned(data) is None


def told(known: KnownHeads, data: bytes) -> bytes | None:
    found = known.find(data)
    return found[1] if found is not None else None


def teach(known: KnownHeads, data: bytes) -> None:
    known.learn(data, Parsed().read(data).headers)


def test_an_endpoint_has_one_head_with_a_length_and_one_in_chunks() -> None:
    known = KnownHeads()
    teach(known, sized(b"{}", b"date: 1"))
    teach(known, chunked(b"x"))
    assert told(known, sized(b"[]", b"date: 1")) == b"[]"
    assert told(known, chunked(b"yes", b"no")) == b"yesno"
    assert told(known, chunked(b"a\r\nb", b"0\r\n\r\n")) == b"a\r\nb0\r\n\r\n"
    teach(known, sized(b"{}", b"date: 2"))
    assert told(known, sized(b"[]", b"date: 1")) is None
    assert told(known, sized(b"[]", b"date: 2")) == b"[]"
    assert told(known, chunked(b"yes", b"no")) == b"yesno"


def test_heads_that_are_never_the_same_are_learned_ever_more_rarely() -> None:
    def is_last_learned(number: int) -> bool:
        known = KnownHeads()
        for each in range(number):
            teach(known, sized(b"{}", b"x-request-id: %d" % each))
        return told(known, sized(b"{}", b"x-request-id: %d" % (number - 1))) is not None

    assert [number for number in range(1, 40) if is_last_learned(number)] == [1, 2, 4, 8, 16, 32]


names = st.sampled_from([b"Host", b"x-a", b"Accept", b"connection", b"Content-Type", b"date", b"x-content-length"])
values = st.sampled_from([b"", b"1", b"keep-alive", b"Keep-Alive", b"application/json", b"content-length: 5", b"7 "])
bodies = st.binary(max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
headers = st.lists(st.tuples(names, values), max_size=4, unique_by=lambda pair: pair[0].lower())


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """One to learn from; one with other content, of which some bytes may be other ones."""
    lines = b"".join(b"%b: %b\r\n" % pair for pair in draw(headers))
    begin = b"HTTP/1.1 200 OK\r\n"
    in_chunks = draw(st.booleans())
    made = []
    for _ in range(2):
        if in_chunks:
            chunks = draw(st.lists(bodies.filter(bool), max_size=3))
            framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
            made.append(b"%b%bTransfer-Encoding: chunked\r\n\r\n%b" % (begin, lines, framed))
        else:
            body = draw(bodies)
            made.append(b"%bContent-Length: %d\r\n%b\r\n%b" % (begin, len(body), lines, body))
    other = bytearray(made[1])
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(other) - 1))
        other[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from([b"", b"0", b"\r\n", b" ", b"a", b":", b"9"]))
    return made[0], bytes(other)


@settings(max_examples=500)
@given(answers())
def test_a_known_head_says_what_the_parser_says(case: tuple[bytes, bytes]) -> None:
    first, second = case
    known = learned(first)
    body = known.body(second) if known is not None else None
    if known is None or body is None:
        return
    parsed = Parsed().read(second)
    assert parsed.complete == 1
    assert parsed.keep_alive
    assert parsed.body == body
    parsed.headers.pop(b"content-length", None)
    assert parsed.headers == known.headers
    assert parsed.status == 200
