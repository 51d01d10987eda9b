"""A reply handler is what the reply of an attempt knows of its request, and whom it tells what has come."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from genset.router.backends.backend import Backend
from genset.router.backends.outcomes import Failure
from genset.router.exchange.client_answer import ClientAnswer
from genset.router.exchange.record import Record
from genset.router.exchange.upstream_request import UpstreamRequest
from genset.router.http.holder import Work
from genset.router.machine.decisions import Break
from genset.router.machine.machine import RequestMachine
from genset.router.shared import Shared


class ReplyHandler(Work):
    """A reply handler is the exchange as its replies see it: its parts, and whom to tell when a reply is good, bad or over.

    Every method but `commit` ends the reply that calls it, which then does nothing more.
    """

    __slots__ = ("client_answer", "machine", "record", "request", "shared")

    def __init__(
        self, shared: Shared, record: Record, machine: RequestMachine, request: UpstreamRequest, answer: ClientAnswer
    ) -> None:
        self.shared = shared
        self.record = record
        self.machine = machine
        self.request = request
        self.client_answer = answer

    @property
    def backend(self) -> Backend:
        """The backend of the running attempt."""
        return self.machine.candidates.current().candidate.backend

    @abstractmethod
    def commit(self, headers: dict[bytes, bytes], out: bytes, raw: Callable[[bytes], bool] | None, now: float) -> None:
        """The first events of a stream go to the client. `raw` takes later chunks untouched, if they may go on so."""

    @abstractmethod
    def answer(self, headers: dict[bytes, bytes], body: bytes, tokens: tuple[int, int], now: float) -> None:
        """A whole answer is complete. `tokens`: of the prompt and of the answer, as the upstream counted them."""

    @abstractmethod
    def stream_done(self, *, add_done: bool) -> None:
        """The client's stream is complete. `add_done`: the upstream sent no [DONE] for the client."""

    @abstractmethod
    def failed(self, failure: Failure) -> None:
        """The attempt ended before the client got anything of it."""

    @abstractmethod
    def refused(self, failure: Failure) -> None:
        """The upstream refused the request; perhaps only the way in which the router asked."""

    @abstractmethod
    def broke(self, failure: Failure, kind: Break, *, blame: bool = True) -> None:
        """The attempt ended after the client got a part of the answer. `blame`: the upstream is at fault."""

    @abstractmethod
    def connection_lost(self, *, stale: bool) -> bool:
        """The upstream's connection is closed. `stale`: a kept one, closed before the request was heard.

        Returns whether the request is sent once more, on another connection.
        """

    @abstractmethod
    def listens_to(self, reply: object) -> bool:
        """Returns whether `reply` is still awaited: what it has told may have ended it."""
