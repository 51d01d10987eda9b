"""What a server sends beside the one message that it was asked for: the message arrives whole, and nobody gets the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.backends.breaker import Breaker
from genset.router.backends.endpoint import Endpoint
from genset.router.http.outbox import Outbox
from genset.router.http.response_reader import HEAD_BYTES, is_end
from genset.router.http.upstream import Listener, UpstreamConnection

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\n\r\n"
BODY = b'{"choices":[{"message":{"content":"for A"}}]}'
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
#: Whole messages after which a connection may be kept, with their bodies.
MESSAGES = {
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY), BODY),
    "length, line end last": (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}\n", b"{}\n"),
    "chunks": (CHUNKED + b"2d\r\n" + BODY + b"\r\n0\r\n\r\n", BODY),
    "events": (CHUNKED + b"9\r\ndata: a\n\n\r\n9\r\ndata: b\n\n\r\n0\r\n\r\n", b"data: a\n\ndata: b\n\n"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nx-checksum: 1\r\n\r\n", b"{}"),
    "chunk extensions": (CHUNKED + b"2;a=b\r\n{}\r\n0;c\r\n\r\n", b"{}"),
    "hints first": (b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 9
                    + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b""),
    "304 in chunks": (b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", b""),
    "error": (b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
}  # fmt: skip
STOLEN = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + b"for B and"
SURPLUS = [
    STOLEN, STOLEN + STOLEN, b"HTTP/1.1 200 OK\r\ncontent-le", b"H", b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\x00",
    b"\r\n" + STOLEN, b"0\r\n\r\n", b"data: [DONE]\n\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + STOLEN,
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"x" * 70_000,
]  # fmt: skip


class FakeTransport:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class FakeListener(Listener):
    """`leaves`: it goes at the first piece of the body, as one does who has seen the end of a stream."""

    def __init__(self, connection: UpstreamConnection, leaves: bool = False) -> None:
        self.connection = connection
        self.heads: list[int] = []
        self.body = b""
        self.ends = 0
        self.lost: list[tuple[str, bool]] = []
        self._leaves = leaves

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.heads.append(status)

    def on_body(self, data: bytes) -> None:
        self.body += data
        if self._leaves:
            self.connection.leave(1.0)

    def on_end(self, verified: bool) -> None:
        self.ends += 1
        self.connection.leave(1.0)

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        self.lost.append((detail, stale))


@pytest.fixture(scope="module")
def outbox() -> Iterator[Outbox]:
    loop = asyncio.new_event_loop()
    yield Outbox(loop)
    loop.close()


def connected() -> UpstreamConnection:
    connection = UpstreamConnection(Endpoint("127.0.0.1", 1, Breaker(lambda: 0.5)))
    connection.connection_made(FakeTransport())  # type: ignore[arg-type]
    return connection


def ask(connection: UpstreamConnection, outbox: Outbox, leaves: bool = False) -> FakeListener:
    listener = FakeListener(connection, leaves)
    if connection in connection.endpoint.idle:
        connection.endpoint.idle.remove(connection)
    connection.begin(listener, REQUEST, outbox)
    outbox.flush()
    return listener


def feed(connection: UpstreamConnection, data: bytes, cuts: list[int]) -> None:
    """In reads of these sizes, in turns; like a loop, nothing after the connection was closed."""
    position = number = 0
    while position < len(data) and not connection.closed:
        size = cuts[number % len(cuts)] if cuts else len(data)
        connection.data_received(data[position : position + size])
        position += size
        number += 1


CUTS = st.lists(st.integers(1, 120), max_size=5)


@given(name=st.sampled_from(sorted(MESSAGES)), cuts=CUTS, again=st.sampled_from(sorted(MESSAGES)))
def test_after_exactly_one_message_the_connection_is_kept(
    outbox: Outbox, name: str, cuts: list[int], again: str
) -> None:
    connection = connected()
    for each in (name, again, name):
        wire, body = MESSAGES[each]
        listener = ask(connection, outbox)
        feed(connection, wire, cuts)
        assert (listener.body, listener.ends, len(listener.heads), listener.lost) == (body, 1, 1, [])
        assert connection.endpoint.idle == [connection], "a connection without surplus was not kept"


@given(
    name=st.sampled_from(sorted(MESSAGES)),
    surplus=st.one_of(st.sampled_from(SURPLUS), st.binary(min_size=1, max_size=40)),
    cuts=CUTS,
    before=st.booleans(),
)
def test_behind_a_message_nothing_reaches_anybody(
    outbox: Outbox, name: str, surplus: bytes, cuts: list[int], before: bool
) -> None:
    connection = connected()
    wire, body = MESSAGES[name]
    if before:
        feed(ask(connection, outbox).connection, wire, [])  # what the endpoint's heads are known from
    listener = ask(connection, outbox)
    feed(connection, wire + surplus, cuts)
    assert (listener.body, listener.ends, len(listener.heads), listener.lost) == (body, 1, 1, [])
    # A line end that is read apart from the message's own looks like it; it is nobody's answer either.
    if not (surplus.strip(b"\r\n") == b"" and cuts):
        assert connection.endpoint.idle == [], "a connection with surplus was kept"
        assert connection.closed
    elif connection.endpoint.idle:
        after = ask(connection, outbox)
        feed(connection, STOLEN, [])
        assert after.body == b"for B and"


@pytest.mark.parametrize("surplus", SURPLUS)
def test_a_connection_that_only_runs_out_is_not_kept_with_surplus(outbox: Outbox, surplus: bytes) -> None:
    connection = connected()
    listener = ask(connection, outbox, leaves=True)
    connection.data_received(CHUNKED + b"2\r\n{}\r\n")
    assert connection.listener is None and not connection.closed
    connection.data_received(b"0\r\n\r\n" + surplus)
    assert connection.closed and connection.endpoint.idle == []
    assert (listener.body, listener.ends) == (b"{}", 0)


@pytest.mark.parametrize("surplus", SURPLUS)
def test_surplus_behind_a_running_stream(outbox: Outbox, surplus: bytes) -> None:
    connection = connected()
    listener = ask(connection, outbox)
    connection.data_received(CHUNKED + b"9\r\ndata: a\n\n\r\n")
    passed: list[bytes] = []

    def direct(data: bytes) -> bool:
        whole = data == b"9\r\ndata: b\n\n\r\n"
        passed.extend([data] if whole else [])
        return whole

    connection.direct = direct
    connection.data_received(b"9\r\ndata: a\n\n\r\n")
    connection.data_received(b"9\r\ndata: b\n\n\r\n")
    connection.data_received(b"9\r\ndata: b\n\n\r\n0\r\n\r\n" + surplus)
    assert passed == [b"9\r\ndata: b\n\n\r\n"]
    assert (listener.body, listener.ends) == (b"data: a\n\ndata: a\n\ndata: b\n\n", 1)
    assert connection.closed and connection.endpoint.idle == []


@pytest.mark.parametrize("surplus", SURPLUS)
def test_what_arrives_while_idle_ends_the_connection(outbox: Outbox, surplus: bytes) -> None:
    connection = connected()
    feed(ask(connection, outbox).connection, MESSAGES["length"][0], [])
    assert connection.endpoint.idle == [connection]
    connection.data_received(surplus)
    assert connection.closed and connection.endpoint.idle == []


@pytest.mark.parametrize("kept", [True, False])
def test_an_answer_before_the_request_was_sent_is_nobodys(outbox: Outbox, kept: bool) -> None:
    connection = connected()
    if kept:
        feed(ask(connection, outbox).connection, MESSAGES["length"][0], [])
        connection.endpoint.idle.clear()
    listener = FakeListener(connection)
    connection.begin(listener, REQUEST, outbox)
    connection.data_received(STOLEN)  # in the same turn of the loop: the request still waits in the outbox
    outbox.flush()
    assert (listener.heads, listener.body, connection.closed) == ([], b"", True)
    assert listener.lost == [("sent something before it was asked", kept)], "a kept connection's request is sent anew"
    assert connection.transport.sent.count(REQUEST) == kept, "the request was written to a connection that is given up"


def test_the_end_of_a_connection_that_said_close_is_the_messages_end(outbox: Outbox) -> None:
    connection = connected()
    listener = ask(connection, outbox)
    connection.data_received(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n")
    assert (listener.body, listener.ends, listener.lost) == (b"{}", 1, [])
    assert connection.closed


ENDLESS = {
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-a: b\r\n"),
    "one trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a" * 1000),
    "chunk extension": (CHUNKED + b"2\r\n{}\r\n2;x=", b"a" * 1000),
    "hints": (b"", b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n"),
    "head": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_is_no_body_has_an_end(outbox: Outbox, name: str) -> None:
    begin, more = ENDLESS[name]
    connection = connected()
    listener = ask(connection, outbox)
    feed(connection, begin + more * (2 * HEAD_BYTES // len(more)), [1000])
    assert connection.closed
    assert [detail.endswith("of more than 64 KiB") for detail, _ in listener.lost] == [True], listener.lost
    assert listener.ends == 0


@pytest.mark.parametrize(
    ("data", "body", "ends"),
    [
        (b"...{}", b"{}", True),
        (b"...{}\r\n", b"{}", False),
        (b"...{}\n", b"{}\n", True),
        (b"...{}\n\n", b"{}\n", False),
        (b"0\r\n\r\n", b"", True),
        (b"t\r\n\r\n", b"", True),
        (b"\r\n\n\r\n", b"", False),
        (b"\r\n\r\n\r\n", b"", False),
        (b"0\r\n\r\n\r\n", b"", False),
        (b"0\r\n\r\n\r", b"", False),
        (b"0\r\n\r\n\n", b"", False),
    ],
)
def test_line_ends_behind_a_message(data: bytes, body: bytes, ends: bool) -> None:
    assert is_end(data, body) is ends
