"""Running streams rest where a turn of the loop is long: each has its turn, and everybody else is looked at in between."""

from __future__ import annotations

import asyncio

import pytest

from genset.router.backends.breaker import Breaker
from genset.router.backends.endpoint import Endpoint
from genset.router.http.outbox import Outbox
from genset.router.http.turn import READ_AGAIN, READS_BETWEEN_LOOKS, Turn
from genset.router.http.upstream import UpstreamConnection
from tests.unit.router.test_surplus_bytes import CHUNKED, REQUEST, FakeListener, FakeTransport

EVENT = b"9\r\ndata: b\n\n\r\n"


class PausableTransport(FakeTransport):
    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def outbox_of(long_seconds: float = 0.0) -> Outbox:
    """Every turn is long."""
    loop = asyncio.get_running_loop()
    return Outbox(loop, Turn(loop, long_seconds))


def stream(outbox: Outbox) -> tuple[UpstreamConnection, FakeListener, PausableTransport]:
    """One that runs."""
    connection = UpstreamConnection(Endpoint("127.0.0.1", 1, Breaker(lambda: 0.5)))
    transport = PausableTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    listener = FakeListener(connection)
    connection.begin(listener, REQUEST, outbox)
    outbox.flush()
    for data in (CHUNKED, EVENT, EVENT):
        connection.data_received(data)
    return connection, listener, transport


def lengthen(turn: Turn) -> None:
    turn.is_long()
    assert turn.is_long()


async def test_in_a_long_turn_each_stream_is_read_once_and_then_again_in_its_order() -> None:
    outbox = outbox_of()
    many = [stream(outbox) for _ in range(3 * READ_AGAIN)]
    lengthen(outbox.turn)
    for connection, listener, transport in many:
        connection.data_received(EVENT)
        assert listener.body == b"data: b\n\n" * 3, "what was read is passed on at once"
        assert not transport.reads
    fresh = UpstreamConnection(Endpoint("127.0.0.1", 1, Breaker(lambda: 0.5)))
    begins = PausableTransport()
    fresh.connection_made(begins)  # type: ignore[arg-type]
    begun = FakeListener(fresh)
    fresh.begin(begun, REQUEST, outbox)
    outbox.flush()
    fresh.data_received(CHUNKED + EVENT)
    assert begun.body == b"data: b\n\n" and begins.reads, "a newcomer's answer rests"
    for turn in range(1, 4):
        await asyncio.sleep(0)
        reads = [transport.reads for _, _, transport in many]
        assert reads == [True] * turn * READ_AGAIN + [False] * (3 - turn) * READ_AGAIN
    await asyncio.sleep(0)
    assert not outbox.turn.long


async def test_a_connection_that_is_done_with_does_not_rest() -> None:
    outbox = outbox_of()
    connection, listener, transport = stream(outbox)
    lengthen(outbox.turn)
    connection.data_received(b"9\r\ndata: c\n\n\r\n0\r\n\r\n")
    assert listener.ends == 1 and connection.endpoint.idle == [connection]
    assert transport.reads, "an idle connection would not notice that it is closed"


@pytest.mark.parametrize("how", ["drop", "lost"])
async def test_a_connection_that_is_closed_is_not_read_again(how: str) -> None:
    outbox = outbox_of()
    connection, _, transport = stream(outbox)
    lengthen(outbox.turn)
    connection.data_received(EVENT)
    if how == "drop":
        connection.drop()
    else:
        connection.connection_lost(ConnectionResetError("reset"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not transport.reads and connection.closed


async def test_a_client_that_does_not_read_and_a_long_turn_do_not_undo_each_other() -> None:
    outbox = outbox_of()
    connection, _, transport = stream(outbox)
    lengthen(outbox.turn)
    connection.data_received(EVENT)
    connection.pause()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not transport.reads, "the client reads no more than before"
    connection.resume()
    assert transport.reads
    lengthen(outbox.turn)
    connection.data_received(EVENT)
    connection.pause()
    connection.resume()
    assert not transport.reads, "its turn has not come"
    for _ in range(3):
        await asyncio.sleep(0)
    assert transport.reads


async def test_under_tls_it_is_the_socket_that_rests() -> None:
    outbox = outbox_of()
    connection, _, transport = stream(outbox)
    raw = PausableTransport()
    connection.made_over(raw)  # type: ignore[arg-type]
    lengthen(outbox.turn)
    connection.data_received(EVENT)
    assert (transport.reads, raw.reads) == (True, False)
    connection.pause()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (transport.reads, raw.reads) == (False, True)


async def test_in_short_turns_nobody_rests() -> None:
    outbox = outbox_of(3600.0)
    connection, listener, transport = stream(outbox)
    for _ in range(10 * READS_BETWEEN_LOOKS):
        connection.data_received(EVENT)
    assert transport.reads and len(listener.body) == 9 * (2 + 10 * READS_BETWEEN_LOOKS)
