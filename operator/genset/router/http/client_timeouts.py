"""How long a client may take for what it is doing, before its connection is closed."""

from __future__ import annotations

from typing import Final, final

HEAD_SECONDS: Final = 15.0  # from the first byte of a request to the end of its headers
BODY_SECONDS: Final = 30.0  # without a byte of the body
PACE_SECONDS: Final = 10.0  # a body that has come fast must go on so: its pace is that of the last so many seconds
IDLE_SECONDS: Final = 75.0  # kept alive between requests
LINGER_SECONDS: Final = 2.0  # reading on after an early answer, so that the client can read it
WRITE_SECONDS: Final = 120.0  # a client that takes not one byte of what waits for it for so long is gone


@final
class ClientTimeouts:
    """The times are seconds that clients have. They never change: all connections of a router share one object.

    `head`: from a request's first byte to the end of its headers. `body`: without a byte of a body. `pace`: over which the
    pace of a body is measured. `idle`: between two requests. `linger`: to read an answer that came early. `write`: without
    a byte taken of what was sent.
    """

    __slots__ = ("body", "head", "idle", "linger", "pace", "write")

    def __init__(
        self,
        *,
        head: float = HEAD_SECONDS,
        body: float = BODY_SECONDS,
        pace: float = PACE_SECONDS,
        idle: float = IDLE_SECONDS,
        linger: float = LINGER_SECONDS,
        write: float = WRITE_SECONDS,
    ) -> None:
        self.head: Final = head
        self.body: Final = body
        self.pace: Final = pace
        self.idle: Final = idle
        self.linger: Final = linger
        self.write: Final = write


DEFAULT: Final = ClientTimeouts()
