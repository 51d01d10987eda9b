"""What a turn of the loop writes goes out together, in order, and no connection costs another one its bytes."""

from __future__ import annotations

import asyncio

import pytest

from genset.router.http.outbox import MOST_BYTES, MOST_WRITES, Outbox


class FakeTransport:
    """Remembers what it was given, in the order over all transports."""

    def __init__(self, sent: list[bytes], *, closing: bool = False, broken: bool = False) -> None:
        self.sent = sent
        self.closing = closing
        self.broken = broken

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.broken:
            raise RuntimeError("write after EOF")
        self.sent.append(data)

    def abort(self) -> None:
        self.closing = True


async def test_writes_of_a_turn_go_out_at_its_end_in_their_order() -> None:
    sent: list[bytes] = []
    outbox, one, other = Outbox(asyncio.get_running_loop()), FakeTransport(sent), FakeTransport(sent)
    for turn in range(2):  # the second one is as good as the first
        outbox.write(one, b"a%d" % turn)
        outbox.write(other, b"b%d" % turn)
        outbox.write(one, b"c%d" % turn)
        assert len(sent) == 3 * turn, "sent before the turn was over"
        await asyncio.sleep(0)
    assert sent == [b"a0", b"b0", b"c0", b"a1", b"b1", b"c1"]


@pytest.mark.parametrize(("count", "size"), [(MOST_WRITES, 1), (2, MOST_BYTES // 2), (1, MOST_BYTES)])
async def test_much_does_not_wait_for_the_end_of_the_turn(count: int, size: int) -> None:
    sent: list[bytes] = []
    outbox, one = Outbox(asyncio.get_running_loop()), FakeTransport(sent)
    for _ in range(count):
        outbox.write(one, b"x" * size)
    assert len(sent) == count
    outbox.write(one, b"y")
    await asyncio.sleep(0)
    assert sent[-1] == b"y"


async def test_a_connection_that_is_gone_or_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[bytes] = []
    outbox = Outbox(asyncio.get_running_loop())
    broken = FakeTransport(sent, broken=True)
    outbox.write(broken, b"lost")
    outbox.write(FakeTransport(sent, closing=True), b"lost, too")
    outbox.write(FakeTransport(sent), b"arrives")
    outbox.flush()
    assert sent == [b"arrives"]
    assert broken.closing and "Failed to write to a connection" in caplog.text
