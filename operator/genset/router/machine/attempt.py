"""One attempt: a candidate's endpoint that is asked for the answer. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.endpoint import Endpoint
from genset.router.machine.decisions import Candidate


@final
class Attempt:
    """An attempt from its decision on. Several at one candidate, one after the other, know of each other.

    `began`: when it may connect, in monotonic seconds. `tried`: the endpoints of the candidate that were asked, this one
    last. `again_used`: the candidate was asked once more after a failure, and will not be so again. `permit`: its breaker
    is half-open, and this attempt is the one that it lets through.
    """

    __slots__ = ("again_used", "began", "candidate", "endpoint", "permit", "tried")

    def __init__(
        self, candidate: Candidate, endpoint: Endpoint, began: float, *, permit: bool, before: Attempt | None
    ) -> None:
        self.candidate: Final[Candidate] = candidate
        self.endpoint: Final = endpoint
        self.began: Final = began
        self.permit = permit
        self.tried: list[Endpoint] = [endpoint]
        self.again_used: bool = False
        if before is not None and before.candidate is candidate:
            self.tried = [*before.tried, endpoint]
            self.again_used = before.again_used

    def takes_permit(self) -> bool:
        """Returns whether the attempt still has its breaker's permit. Whoever asks has it from then on."""
        permit, self.permit = self.permit, False
        return permit

    def release(self) -> None:
        """Nothing was learned of the backend, so that somebody else may be let through."""
        if self.takes_permit():
            self.candidate.backend.breaker.release()
