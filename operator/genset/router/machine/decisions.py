"""Decisions are what a request's state machine returns and the exchange carries out; phases say where a request is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from genset.data_zones import HOUSE
from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.errors import VOCABULARY, ErrorAnswer, ErrorKind

FULL: Final = "full"  # shown in answer headers: every endpoint has as many requests as it may
COLD: Final = "cold"  # shown in answer headers: the backend is at rest
SPENT: Final = "budget_spent"  # shown in answer headers: a budget keeps the request from the backend


class Phase:
    """A phase is where a request is. Phases are plain numbers in their order: compiled, they cost nothing to compare.

    Whatever ends an attempt, be it a failure, a break or a refusal of the way in which it was asked, leads back to
    SELECT, where the next decision is made. There a request also waits for a place or for a backend at rest, while
    nothing runs upstream. From SELECT the way leads through the phases in their order, with two steps back: a
    kept-alive connection that was closed under the request is opened anew (HEADERS to CONNECT), and an answer may go on
    after its finish_reason (FINISH to COMMIT). DONE is the end, and can be reached from every phase, because clients
    leave at any time. `NEXT` says the same as a table.
    """

    SELECT: Final = 0  # also: waits until it may select again
    PAUSE: Final = 1  # before the same endpoint is asked again
    CONNECT: Final = 2
    HEADERS: Final = 3  # the request is sent, nothing has come back
    PRECOMMIT: Final = 4  # a 2xx has come back, but no token yet
    COMMIT: Final = 5
    FINISH: Final = 6  # finish_reason was sent to the client; usage and [DONE] may follow
    DONE: Final = 7


#: The phases that may follow each one. SELECT follows itself if the wait goes on, FINISH if one more event comes.
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
    """A candidate is a backend that may answer this request, and the number of its tier, from 0.

    `evidence` holds the header lines of an answer at the first attempt; `zone` is the backend's data zone. `real`: the backend
    is a drill's view of this one; None: there is no drill in it.
    """

    __slots__ = ("backend", "evidence", "real", "tier", "zone")

    def __init__(
        self, backend: Backend, tier: int, evidence: bytes, zone: str = HOUSE, real: Candidate | None = None
    ) -> None:
        self.backend = backend
        self.tier = tier
        self.evidence = evidence
        self.zone = zone
        self.real = real


@final
class Try:
    """Decides to call this endpoint, after `delay` seconds."""

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
    """Decides to answer with this error: no content was sent, and none will be."""

    answer: ErrorAnswer


@dataclass(frozen=True, slots=True)
class Wait:
    """Decides to wait, because nothing can be called now.

    `resume` has to be called when something has changed, and on every sweep. `reason` is the word in answer headers.
    `until` (monotonic seconds) is when the machine will decide otherwise.
    """

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Decides to end the client's stream with an error inside it."""

    kind: ErrorKind
    message: str


Decision = Try | Wait | Answer | Interrupt
