"""A record is what is known of one request: its metrics, its line in the log and its span are made of nothing else."""

from __future__ import annotations

from typing import Final, Protocol

from genset.router.access.consumer import Consumer, Visit
from genset.router.exchange.spending import Spending
from genset.router.machine.machine import RequestMachine

MODEL_CHARACTERS: Final = 256  # of a backend's name for its model; nobody has a longer one


class Span(Protocol):
    """A span is what traces keep of a request that is recorded."""

    def end(self, record: Record, now: float) -> None:
        """The request has ended, at `now` by the router's clock."""


class Record:
    """A record belongs to one request that named a model. Its times are seconds of the router's clock, 0.0 before they come.

    `peer` is the address of whoever has connected, `asked` method and path, `model` the name that the client gave, and
    `named` the same if a route names it, too (labels of metrics hold nothing that clients invent). `received`, `begun`
    (it got its place in the router), `sent_at` (the first attempt was written) and `first_token` follow one another.
    `consumer` is who asks, None if
    nobody asks that; `visit` what was taken for it. `status` and `word` are the answer's; `word` is empty for a whole one.
    """

    # One flat object, written once per request on the hot path; everything that reads it reads most of it.
    __slots__ = (
        "asked",
        "begun",
        "booked",
        "consumer",
        "drill",
        "first_token",
        "headers",
        "held",
        "identity",
        "in_one_piece",
        "model",
        "named",
        "operation",
        "peer",
        "placed",
        "received",
        "route",
        "routed",
        "sensitive",
        "sent_at",
        "span",
        "spending",
        "status",
        "stream",
        "tokens",
        "told_model",
        "trace",
        "visit",
        "waited",
        "word",
    )

    def __init__(
        self,
        identity: bytes,
        peer: str,
        headers: dict[bytes, bytes],
        asked: str,
        operation: str,
        model: str,
        received: float,
        *,
        stream: bool,
    ) -> None:
        self.identity = identity
        self.peer = peer
        self.headers = headers
        self.asked = asked
        self.operation = operation
        self.model = model
        self.named = ""
        self.stream = stream
        self.trace = b""  # W3C trace id
        self.span: Span | None = None
        self.received = received
        self.begun = 0.0
        self.sent_at = 0.0
        self.first_token = 0.0
        self.held = 0.0  # seconds from the first byte of a stream's body to the first that the client got of it
        self.waited = 0.0  # seconds for a place at a backend, or for one that was at rest
        self.in_one_piece = False  # no stream: the first token has no time of its own
        self.placed = False  # it was in the gate, in work or waiting
        self.route = ""
        self.consumer: Consumer | None = None
        self.visit: Visit | None = None
        self.routed: RequestMachine | None = None  # which attempts were made, and why
        self.sensitive: tuple[str, ...] = ()  # what kept it in the house; never the content
        self.spending: Spending | None = None  # None: nothing of it has a price, and nobody keeps records
        self.tokens = (0, 0)  # prompt, completion, as the upstream counted them
        self.told_model = ""  # the name that the backend gave; only of requests that are traced
        self.booked = 0  # of the completion: made by backends that broke off
        self.drill = ""  # the drill whose way it takes
        self.status = 0
        self.word = ""

    def takes_part(self, drill: str) -> None:
        """The request takes the way of this drill."""
        self.drill = drill

    def traced(self, trace: bytes, span: Span | None) -> None:
        """The request belongs to this trace; `span` is what is recorded of it there."""
        self.trace = trace
        self.span = span

    def sent(self, now: float) -> None:
        """An attempt was written. Only the first one counts."""
        if not self.sent_at:
            self.sent_at = now

    def first_came(self, now: float) -> None:
        """The first token of an answer has come. Only the first attempt that gets so far counts."""
        if not self.first_token:
            self.first_token = now

    def answered_by(self, model: str) -> None:
        """Takes the name of the model by which the backend answered."""
        self.told_model = model[:MODEL_CHARACTERS]

    def whole_came(self, now: float) -> None:
        """The answer has come in one piece, so that its first token has no time of its own."""
        self.first_token = now
        self.in_one_piece = True

    def ended(self, status: int, word: str) -> None:
        """The client has its answer, with this status. `word` is empty for a whole one."""
        self.status = status
        self.word = word

    def spends(self, spending: Spending | None) -> None:
        """What its attempts use is booked here; None: nowhere, because that cannot be counted."""
        self.spending = spending

    def asked_by(self, consumer: Consumer | None) -> None:
        """Takes who asks."""
        self.consumer = consumer

    def left(self, now: float) -> None:
        """The request has ended, and what it has used counts for who has asked."""
        if self.visit is not None:
            prompt, completion = self.tokens
            left = self.word == "caller_gone" and bool(self.sent_at)
            self.visit.leave(prompt, completion, failed=bool(self.word), left=left, now=now)

    def stood_still(self, seconds: float) -> None:
        """Adds seconds that the clock has skipped, because the client has waited: all that has happened is as much longer ago."""
        self.received -= seconds
        if self.begun:
            self.begun -= seconds
        if self.first_token:
            self.first_token -= seconds
        if self.routed is not None:
            self.routed.stood_still(seconds)
