"""A wire stands between a connection to a backend and its socket, and does to it what the fault of a drill does.

It is a transport to the connection and a protocol to the socket: what the router reads and writes passes through the same code as
ever, and the state machine above knows nothing of drills.
"""

from __future__ import annotations

import asyncio
import errno
import re
from typing import Any, Final

from genset.contracts.drill import Fault
from genset.router.backends.target import Target
from genset.router.drills.refusals import REFUSING, refusal
from genset.router.http.upstream import UpstreamConnection

CUT_AFTER_EVENTS: Final = 4  # of a stream; the first ones hold no text in some APIs
_EVENT: Final = re.compile(rb"data:")
#: An event that ends an answer: a stream that is cut does not get so far.
_LAST: Final = re.compile(rb'data:[^\n]*?(?:\[DONE\]|"finish_reason": ?"|message_stop|response\.completed)')
_HEAD_ENDS: Final = b"\r\n\r\n"


class Faults:
    """Faults are what one drill does: `fault` to connections to `targets`, while it is `on`.

    `cut_after`: the events of a stream that pass before it is cut. `met` counts the connections and requests that have met the
    fault. `lifted` is set when it is over. After `stopped` nothing connects.
    """

    def __init__(self, fault: Fault, cut_after: int = CUT_AFTER_EVENTS) -> None:
        self.fault = fault
        self.cut_after = cut_after
        self.targets: frozenset[Target] = frozenset()
        self.on = False
        self.stopped = False
        self.met = 0
        self.lifted = asyncio.Event()
        self.wires: set[Wire] = set()

    def take(self, targets: frozenset[Target]) -> None:
        """Takes whose connections meet the fault."""
        self.targets = targets

    def begin(self) -> None:
        self.on = True
        if self.fault is Fault.REFUSED:  # a server that is gone takes its connections with it
            for wire in list(self.wires):
                self.meet()
                wire.lose()

    def end(self) -> None:
        self.on = False
        self.lifted.set()
        for wire in list(self.wires):
            wire.go_on()

    def stop(self) -> None:
        """Loses what waits behind the fault: of a drill that is over, a server hears nothing more."""
        self.stopped = True
        self.lifted.set()
        for wire in list(self.wires):
            wire.abort()

    def meet(self) -> None:
        """Counts a connection or a request that has met the fault."""
        self.met += 1


class Wire(asyncio.Protocol):
    """A wire has a socket's transport, or none if nothing but refusals is to be heard on it."""

    def __init__(self, faults: Faults, target: Target, connection: UpstreamConnection, socket: Any) -> None:
        self._faults = faults
        self._target = target
        self._inner: Any = connection
        self._socket = socket
        self._closed = False
        self._struck = False  # the request was written under the fault
        self._held = b""  # of an answer that is slow
        self._head_passed = False
        self._events = 0
        faults.wires.add(self)
        if socket is not None:
            socket.set_protocol(self)

    # What the connection does with its transport

    def write(self, data: bytes) -> None:
        faults = self._faults
        self._struck, self._head_passed, self._events = faults.on, False, 0
        if self._struck:
            faults.meet()
            if faults.fault in REFUSING:
                said = refusal(faults.fault, self._target.model, self._target.wire, data)
                asyncio.get_running_loop().call_soon(self._hear, said)
                return
            if faults.fault is Fault.BLACKHOLE:
                return
        if self._socket is not None:
            self._socket.write(data)
        else:  # the fault is over, and nobody listens here
            asyncio.get_running_loop().call_soon(self.lose)

    def _hear(self, data: bytes) -> None:
        if not self._closed:
            self._inner.data_received(data)

    def is_closing(self) -> bool:
        return self._closed or (self._socket is not None and self._socket.is_closing())

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()
        elif not self._closed:
            asyncio.get_running_loop().call_soon(self._inner.connection_lost, None)
        self._leave()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            self.abort()

    def pause_reading(self) -> None:
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        if self._socket is not None:
            self._socket.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default) if self._socket is not None else default

    def get_protocol(self) -> Any:
        return self._inner

    def set_protocol(self, protocol: Any) -> None:
        self._inner = protocol

    # What the socket tells

    def data_received(self, data: bytes) -> None:
        faults = self._faults
        if self._closed:
            return
        if not faults.on:
            self._inner.data_received(data)
        elif faults.fault is Fault.BLACKHOLE:
            faults.meet()
        elif faults.fault is Fault.SLOW_FIRST_TOKEN and self._struck:
            self._slow(data)
        elif faults.fault is Fault.CUT_STREAM:
            self._cut(data)
        else:
            self._inner.data_received(data)

    def _slow(self, data: bytes) -> None:
        """Lets the head pass, and holds what follows until the fault is lifted."""
        self._held += data
        if not self._head_passed and _HEAD_ENDS in self._held:
            self._head_passed = True
            head, self._held = (
                self._held[: self._held.index(_HEAD_ENDS) + 4],
                self._held[self._held.index(_HEAD_ENDS) + 4 :],
            )
            self._inner.data_received(head)

    def _cut(self, data: bytes) -> None:
        """Lets some events pass, and cuts before the next one, or before the one that ends the answer.

        What is no stream is cut in its middle.
        """
        last = _LAST.search(data)
        starts = [found.start() for found in _EVENT.finditer(data)]
        room = self._faults.cut_after - self._events
        at = starts[room] if len(starts) > room else None
        if last is not None:
            at = last.start() if at is None else min(at, last.start())
        if at is None and not starts and not self._events and _HEAD_ENDS in data and not data.endswith(_HEAD_ENDS):
            head = data.index(_HEAD_ENDS) + 4
            at = head + (len(data) - head) // 2 if b"text/event-stream" not in data[:head] else None
        self._events += len(starts)
        if at is None:
            self._inner.data_received(data)
            return
        self._faults.meet()
        if at:
            self._inner.data_received(data[:at])
        self.lose()

    def eof_received(self) -> None:
        if not self._closed and not (self._faults.on and self._faults.fault is Fault.BLACKHOLE):
            self._inner.eof_received()

    def connection_lost(self, problem: BaseException | None) -> None:
        if not self._closed and self._faults.on and self._faults.fault is Fault.BLACKHOLE:
            return  # nothing comes through, the end neither
        self._leave()
        self._inner.connection_lost(problem)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    # What the drill does

    def lose(self) -> None:
        """Loses the connection, as by a reset."""
        if self._closed:
            return
        self._leave()
        if self._socket is not None:
            self._socket.set_protocol(asyncio.Protocol())
            self._socket.abort()
        self._inner.connection_lost(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def go_on(self) -> None:
        """Passes on what was held: the fault is lifted."""
        held, self._held = self._held, b""
        if held:
            self._hear(held)

    def _leave(self) -> None:
        self._closed = True
        self._faults.wires.discard(self)
