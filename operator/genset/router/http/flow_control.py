"""Returns when an upstream connection is read: not while its client does not read, nor before its turn has come."""

from __future__ import annotations

import asyncio
from typing import Any, final

from genset.router.http.turn import Turn


@final
class FlowControl:
    """Flow control stops and resumes the reading of one upstream connection, for two reasons that do not undo each other.

    Without TLS both stop the same transport. Under TLS a client that does not read stops the protected one, and a turn of
    the loop that is too long stops `raw`, the socket's own.
    """

    __slots__ = ("_closed", "_held", "_raw", "_rests", "_transport")

    def __init__(self) -> None:
        self._transport: Any = None
        self._raw: Any = None
        self._closed = False
        self._held = False  # not read, because its client does not read
        self._rests = False  # not read before its turn comes; see `turn`

    def made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the transport that the connection reads from."""
        self._transport = transport
        if self._raw is None:
            self._raw = transport

    def made_over(self, raw: asyncio.BaseTransport) -> None:
        """Takes the transport that TLS is spoken over."""
        self._raw = raw

    def pause(self) -> None:
        """Stops reading: the client does not read."""
        if not self._held and not self._closed:
            self._held = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on, unless its turn has not come: the client reads on."""
        if self._held and not self._closed:
            self._held = False
            if not (self._rests and self._raw is self._transport):
                self._transport.resume_reading()

    def rest(self, turn: Turn) -> None:
        """Stops reading until a later turn of the loop, because this one is long."""
        if not self._rests and not self._raw.is_closing():
            self._rests = True
            self._raw.pause_reading()
            turn.rest(self)

    def read_again(self) -> None:
        """Reads on, unless the client does not read: its turn has come, or somebody needs it before."""
        if self._rests:
            self._rests = False
            if not self._closed and not self._raw.is_closing() and not (self._held and self._raw is self._transport):
                self._raw.resume_reading()

    def end(self) -> None:
        """Touches the transports no longer: the connection is closed."""
        self._closed = True
