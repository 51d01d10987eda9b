"""A head is judged for itself, whatever the heads before it were on the same connection."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.errors import ErrorAnswer
from genset.router.http.request_head import HEAD_LINES, ArrivingHead

NOTHING: frozenset[bytes] = frozenset()
#: Parts of heads, good and bad ones; some differ in what the reader remembers only, or in nothing else.
METHODS = [b"GET", b"POST", b"DELETE", b"LINK", b"TRACE"]
TARGETS = [b"/v1/models", b"/v1/chat/completions", b"/v1/%6dodels", b"/v1/%zz", b"http://x/v1/models", b"*"]
HOSTS = [b"host: x\r\n", b"host: y:80\r\n", b"host: a b\r\n", b"host:\r\n", b"host: x\r\nhost: x\r\n", b""]
VERSIONS = [b"1.1", b"1.0"]
OTHERS = [b"", b"connection: keep-alive\r\n", b"connection: close\r\n", b"transfer-encoding: gzip, chunked\r\n"]
HEADS = st.tuples(*(st.sampled_from(parts) for parts in (METHODS, TARGETS, HOSTS, VERSIONS, OTHERS)))


class Reading:
    """Reads one head after another into the same object."""

    def __init__(self) -> None:
        self.head = ArrivingHead()
        self.refused: ErrorAnswer | None = None

    def on_url(self, url: bytes) -> None:
        self.head.add_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.refused = self.refused or self.head.add(name, value, NOTHING)

    def on_headers_complete(self) -> None:
        self.refused = self.refused or self.head.judged(self.parser)

    def read(self, data: bytes) -> ErrorAnswer | None:
        """What is said of the head. A parser of its own reads each."""
        self.head.begin()
        self.refused = None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        return self.refused


def told(reading: Reading, refused: ErrorAnswer | None) -> object:
    """All that is known of a head afterwards."""
    if refused is not None:
        return refused.kind.word, refused.message
    head = reading.head
    return head.method, head.path, head.keep_alive, head.version_10, head.headers, head.size


@given(st.lists(HEADS, max_size=6))
def test_what_came_before_changes_nothing(heads: list[tuple[bytes, ...]]) -> None:
    reading = Reading()
    for method, target, host, version, other in heads:
        data = b"%b %b HTTP/%b\r\n%b%bx: y\r\n\r\n" % (method, target, version, host, other)
        fresh = Reading()
        alone = told(fresh, fresh.read(data))
        assert told(reading, reading.read(data)) == alone
        if fresh.refused is not None:
            break  # such a connection is closed


@pytest.mark.parametrize("length", [b"0", b"7", b"0007", b"1048577", b"18446744073709551615"])
def test_the_length_is_the_number_that_is_told(length: bytes) -> None:
    reading = Reading()
    assert reading.read(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %b \r\n\r\n" % length) is None
    assert reading.head.length == int(length)


def test_without_a_length_it_is_nothing() -> None:
    reading = Reading()
    assert reading.read(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") is None
    assert reading.head.length == 0


@pytest.mark.parametrize("value", [b"", b"x", b"xy"])
@pytest.mark.parametrize("name", [b"Host", b"Authorization", b"X-Genset-Timeout", b"Accept"])
def test_a_header_that_is_there_again(name: bytes, value: bytes) -> None:
    """Values of no or one byte are one object in Python, however often they come."""
    head = ArrivingHead()
    head.begin()
    assert head.add(name, value, NOTHING) is None
    again, other = head.add(name, value, NOTHING), head.add(name, b"other", NOTHING)
    assert (again is not None) is (name == b"Host")
    assert (other is not None) is (name != b"Accept")
    assert head.headers == {name.lower(): b"other" if name == b"Accept" else value}


def test_headers_are_bounded_in_number() -> None:
    head = ArrivingHead()
    head.begin()
    answers = [head.add(b"x%d" % number, b"", NOTHING) for number in range(HEAD_LINES + 1)]
    assert answers[:-1] == [None] * HEAD_LINES and answers[-1] is not None
