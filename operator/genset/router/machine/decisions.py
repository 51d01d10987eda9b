"""What the state machine of a request knows and says: its phases, its candidates, and the decisions that the wire carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.errors import VOCABULARY, ErrorAnswer, ErrorKind

FULL: Final = "full"  # the word for evidence: all endpoints have as many requests as they may
COLD: Final = "cold"  # the word for evidence: why a backend at rest did not answer


class Phase:
    """Where a request is, in this order. Plain numbers: compiled, they cost nothing to compare.

    Whatever ends an attempt, be it a failure, a break or a refusal of the way in which it was asked, leads back to
    SELECT, where the next decision is made; there a request also waits for a place or for a backend at rest, and nothing
    runs upstream. From SELECT the way leads through the phases in their order, with two steps back: a kept-alive
    connection that was closed under the request is opened anew (HEADERS to CONNECT), and an answer may go on behind its
    finish_reason (FINISH to COMMIT). DONE is the end, and is reached from everywhere, because clients leave at any time.
    `NEXT` says the same as a table.
    """

    SELECT: Final = 0  # also: waits until it may select again
    PAUSE: Final = 1  # before the same endpoint is asked again
    CONNECT: Final = 2
    HEADERS: Final = 3  # request sent, nothing heard
    PRECOMMIT: Final = 4  # a 200 was heard, no token yet
    COMMIT: Final = 5
    FINISH: Final = 6  # finish_reason was sent; usage and [DONE] may follow
    DONE: Final = 7


#: The phases that may follow each one. SELECT follows itself when the wait goes on, FINISH when one more event comes.
NEXT: Final = {
    Phase.SELECT: (Phase.SELECT, Phase.PAUSE, Phase.CONNECT, Phase.DONE),
    Phase.PAUSE: (Phase.CONNECT, Phase.DONE),
    Phase.CONNECT: (Phase.HEADERS, Phase.SELECT, Phase.DONE),
    Phase.HEADERS: (Phase.CONNECT, Phase.PRECOMMIT, Phase.SELECT, Phase.DONE),
    Phase.PRECOMMIT: (Phase.COMMIT, Phase.SELECT, Phase.DONE),
    Phase.COMMIT: (Phase.FINISH, Phase.SELECT, Phase.DONE),
    Phase.FINISH: (Phase.FINISH, Phase.COMMIT, Phase.SELECT, Phase.DONE),
    Phase.DONE: (),
}
_NEXT_BITS: Final = [sum(1 << phase for phase in following) for following in NEXT.values()]


def may_follow(phase: int, before: int) -> bool:
    """Returns whether a request may go from the phase `before` to `phase`. Called for every step of every request."""
    return _NEXT_BITS[before] >> phase & 1 == 1


@final
class Candidate:
    """One backend that may answer this request, and how far down the list of tiers it stands.

    `evidence`: header lines of an answer at the first attempt.
    """

    __slots__ = ("backend", "evidence", "tier")

    def __init__(self, backend: Backend, tier: int, evidence: bytes) -> None:
        self.backend = backend
        self.tier = tier
        self.evidence = evidence


@final
class Try:
    """Decision: call this endpoint, after `delay` seconds."""

    __slots__ = ("candidate", "delay", "endpoint")

    def __init__(self, candidate: Candidate, endpoint: Endpoint, delay: float) -> None:
        self.candidate = candidate
        self.endpoint = endpoint
        self.delay = delay


@dataclass(frozen=True, slots=True)
class Break:
    """How a stream broke whose client has a part of the answer. `step`: what a step of the trail calls it."""

    kind: ErrorKind
    step: str


INTERRUPTED: Final = Break(VOCABULARY["provider_interrupted"], "interrupted")
STALLED: Final = Break(VOCABULARY["provider_stalled"], "stalled")
FAILED_INSIDE: Final = Break(VOCABULARY["provider_error"], "error")  # the upstream sent an error event
DEADLINE_OVER: Final = Break(VOCABULARY["router_deadline"], "router_deadline")  # and not by the upstream's fault


@dataclass(frozen=True, slots=True)
class Answer:
    """Decision: no content was sent and none will be; answer with this error."""

    answer: ErrorAnswer


@dataclass(frozen=True, slots=True)
class Wait:
    """Decision: nothing can be called now; ask `resume` when something has changed, and on every sweep.

    `reason` is the word for evidence; `until` (monotonic seconds) is when the machine will decide otherwise.
    """

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Decision: end the client's stream with an error inside it."""

    kind: ErrorKind
    message: str


Decision = Try | Wait | Answer | Interrupt
