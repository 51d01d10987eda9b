"""What the state machine of a request knows and says: its phases, its candidates, and the decisions that the wire carries out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from genset.router.backend import Backend, Endpoint
from genset.router.errors import ErrorAnswer, ErrorKind

FULL = "full"  # the word for evidence: all endpoints have as many requests as they may
COLD = "cold"  # the word for evidence: why a backend at rest did not answer


class Phase(IntEnum):
    SELECT = 0  # also: waits until it may select again
    PAUSE = 1  # before the same endpoint is asked again
    CONNECT = 2
    HEADERS = 3  # request sent, nothing heard
    PRECOMMIT = 4  # a 200 was heard, no token yet
    COMMIT = 5
    FINISH = 6  # finish_reason was sent; usage and [DONE] may follow
    DONE = 7


class Candidate(NamedTuple):
    """One backend that may answer this request, and how far down the list of tiers it stands."""

    backend: Backend
    tier: int
    evidence: bytes  # header lines of an answer at the first attempt


class Try(NamedTuple):
    """Decision: call this endpoint, after `delay` seconds."""

    candidate: Candidate
    endpoint: Endpoint
    delay: float = 0.0


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
