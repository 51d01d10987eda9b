"""What the rest of the router sees of a client's connection, and a connection of its request in work."""

from __future__ import annotations

from typing import Any, Final, Protocol

from genset.router.errors import ErrorAnswer


class Worth:
    """How much is lost with a connection."""

    IDLE: Final = 0
    SLOW: Final = 1  # a head that does not get on, or an answer that ends the connection
    HALF: Final = 2  # a request that is arriving
    UNREAD: Final = 3  # by the client, or by us
    WORK: Final = 4


class Holder(Protocol):
    """A client's connection, which holds something of what is scarce: a descriptor, and bytes.

    `origin` is whose share the connection takes, `payer` whose share the request takes that is arriving; `mark` is when
    it last got on, by the router's clock.
    """

    origin: str
    payer: str
    mark: float
    transport: Any

    @property
    def held_bytes(self) -> int: ...
    @property
    def unread(self) -> int: ...
    @property
    def arrives(self) -> bool: ...
    @property
    def collecting(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    def pace(self, now: float) -> float: ...
    def worth(self, now: float) -> int: ...
    def make_way(self) -> None: ...
    def close_now(self) -> None: ...
    def close_idle(self) -> None: ...
    def close(self) -> None: ...
    def expire(self, now: float) -> None: ...


class Work(Protocol):
    """A request in work, as the connection that it came over knows it."""

    ended: bool

    def give_up(self, answer: ErrorAnswer) -> None:
        """The router ends the request with this error."""

    def client_gone(self) -> None:
        """The connection is closed."""

    def client_slow(self) -> None:
        """The client does not read as fast as its answer comes."""

    def client_caught_up(self) -> None:
        """The client has read what waited for it."""
