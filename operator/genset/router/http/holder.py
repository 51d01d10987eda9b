"""Returns what the rest of the router sees of a client's connection, and what that sees of its request in work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from genset.router.errors import ErrorAnswer


class Worth:
    """A connection is worth what is lost with it; the least comes first."""

    IDLE: Final = 0
    SLOW: Final = 1  # a head that does not get on, or an answer that ends the connection
    HALF: Final = 2  # a request that is arriving
    UNREAD: Final = 3  # by the client, or by us
    WORK: Final = 4


class Gives:
    """A connection that makes way gives something of one kind; what goes first is the highest."""

    COLLECTED: Final = 0  # a whole answer that is collected: the largest first
    UNREAD: Final = 1  # what one side has sent and the other one has not taken: what lies longest first
    ARRIVING: Final = 2  # a part of a request: what comes most slowly first


class Holder(ABC):
    """A holder is a client's connection, which holds something of what is scarce: a descriptor, and bytes.

    `mark` is when it last got on, by the router's clock.
    """

    __slots__ = ()

    mark: float
    transport: Any

    @property
    @abstractmethod
    def origin(self) -> str:
        """Returns whose share the connection takes."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """Returns how many bytes count in the budget."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Returns whether a request is arriving or in work, or an answer is still on its way."""

    @abstractmethod
    def gives(self, now: float) -> tuple[str, int, float] | None:
        """Returns what it would give if it made way: in whose share, of which kind (see Gives), and how soon within that kind.

        None if it has nothing to give.
        """

    @abstractmethod
    def worth(self, now: float) -> int:
        """Returns what closing it would cost, as Worth tells it."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Writes to the client, at the end of this turn of the loop at the latest."""

    @abstractmethod
    def refuse(self, answer: ErrorAnswer) -> None:
        """Answers a request that never became whole, and closes. Nothing that comes behind it is read."""

    @abstractmethod
    def make_way(self) -> None:
        """Gives up something for somebody who holds less: no more is read of it, or what its client has not read is lost."""

    @abstractmethod
    def close_now(self) -> None:
        """Closes because somebody else needs its descriptor: what is arriving is refused, what is unread is lost."""

    @abstractmethod
    def close_idle(self) -> None:
        """Closes if nothing is in work here: the router drains, so nothing should begin."""

    @abstractmethod
    def close(self) -> None:
        """Closes after what was written."""

    @abstractmethod
    def expire(self, now: float) -> None:
        """Closes what has taken too long. Called about once a second."""


class Work(ABC):
    """A work is a request in work, as the connection that it came over knows it."""

    __slots__ = ()

    @abstractmethod
    def give_up(self, answer: ErrorAnswer) -> None:
        """Ends the request with this error."""

    @abstractmethod
    def client_gone(self) -> None:
        """Ends the request, for nobody: the connection is closed."""

    @abstractmethod
    def client_slow(self) -> None:
        """Is told that the client does not read as fast as its answer comes."""

    @abstractmethod
    def client_caught_up(self) -> None:
        """Is told that the client has read what waited for it."""
