"""Running streams are put off where a turn of the loop is long: each in its order, nothing lost, everybody else first."""

from __future__ import annotations

import asyncio

import pytest

from genset.router.breaker import Breaker
from genset.router.endpoint import Endpoint
from genset.router.wire import turn as turns
from genset.router.wire.outbox import Outbox
from genset.router.wire.turn import READS_BETWEEN_LOOKS, Turn
from genset.router.wire.upstream import UpstreamConnection
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


@pytest.fixture(autouse=True)
def _every_turn_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)


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


async def test_a_long_turn_puts_running_streams_off_and_each_has_its_turn() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    many = [stream(outbox) for _ in range(3 * READS_BETWEEN_LOOKS)]
    fresh = UpstreamConnection(Endpoint("127.0.0.1", 1, Breaker(lambda: 0.5)))
    fresh.connection_made(PausableTransport())  # type: ignore[arg-type]
    lengthen(outbox.turn)
    for connection, listener, transport in many:
        connection.data_received(EVENT)
        assert listener.body == b"data: b\n\n" * 2 and not transport.reads
    begun = FakeListener(fresh)
    fresh.begin(begun, REQUEST, outbox)
    outbox.flush()
    fresh.data_received(CHUNKED + EVENT)
    assert begun.body == b"data: b\n\n", "a newcomer's answer waited behind running streams"
    turns_taken = 0
    while not all(transport.reads for _, _, transport in many):
        await asyncio.sleep(0)
        turns_taken += 1
        assert turns_taken < 20
    assert turns_taken >= 3, "the loop did not look at anybody else in between"
    assert [listener.body for _, listener, _ in many] == [b"data: b\n\n" * 3] * len(many)
    await asyncio.sleep(0)
    assert not outbox.turn.long


async def test_what_was_put_off_comes_before_what_follows() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lengthen(outbox.turn)
    connection, listener, _ = stream(outbox)
    connection.data_received(b"9\r\ndata: c\n\n\r\n")
    connection.data_received(b"9\r\ndata: d\n\n\r\n0\r\n\r\n")  # a transport that had read it already
    assert listener.ends == 0
    for _ in range(3):
        await asyncio.sleep(0)
    assert (listener.body, listener.ends) == (b"data: b\n\ndata: b\n\ndata: c\n\ndata: d\n\n", 1)
    assert connection.endpoint.idle == [connection]


@pytest.mark.parametrize("how", ["eof", "lost", "reset"])
async def test_the_end_of_the_connection_comes_behind_what_was_put_off(how: str) -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lengthen(outbox.turn)
    connection, listener, _ = stream(outbox)
    connection.data_received(b"9\r\ndata: c\n\n\r\n0\r\n\r\n" if how == "eof" else b"9\r\ndata: c\n\n\r\n")
    if how == "eof":
        connection.eof_received()
    else:
        connection.connection_lost(None if how == "lost" else ConnectionResetError("reset"))
    assert listener.body.endswith(b"data: c\n\n")
    assert listener.ends == (how == "eof") and len(listener.lost) == (how != "eof")
    for _ in range(3):
        await asyncio.sleep(0)  # and nothing of it comes twice
    assert listener.body == b"data: b\n\n" * 2 + b"data: c\n\n"


async def test_a_dropped_connection_is_forgotten() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lengthen(outbox.turn)
    connection, listener, transport = stream(outbox)
    connection.data_received(EVENT)
    connection.drop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert listener.body == b"data: b\n\n" * 2 and not transport.reads and transport.aborted


async def test_a_client_that_does_not_read_and_a_long_turn_do_not_undo_each_other() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lengthen(outbox.turn)
    connection, _, transport = stream(outbox)
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


async def test_short_turns_put_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONG_SECONDS", 3600.0)
    outbox = Outbox(asyncio.get_running_loop())
    connection, listener, transport = stream(outbox)
    for _ in range(10 * READS_BETWEEN_LOOKS):
        connection.data_received(EVENT)
    assert transport.reads and len(listener.body) == 9 * (2 + 10 * READS_BETWEEN_LOOKS)
