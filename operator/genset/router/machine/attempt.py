"""An attempt is one call of a candidate's endpoint for the answer. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.endpoint import Endpoint
from genset.router.machine.decisions import Candidate


@final
class Attempt:
    """An attempt exists from the decision to make it. Consecutive attempts at one candidate know of each other.

    `began` is when it may connect, in monotonic seconds. `tried` are the endpoints of the candidate that were asked,
    this one last. `again_used`: the candidate was asked once more after a failure, and will not be again. `permit`: its
    breaker is half-open, and lets only this attempt through.
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
        """Takes the breaker's permit from the attempt. Returns whether it still had it."""
        permit, self.permit = self.permit, False
        return permit

    def release(self) -> None:
        """Gives the permit back because nothing was learned of the backend, so that another request may go."""
        if self.takes_permit():
            self.candidate.backend.breaker.release()
