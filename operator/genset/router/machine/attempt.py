"""One attempt: a candidate's endpoint that is asked for the answer. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.endpoint import Endpoint
from genset.router.machine.decisions import Candidate


@final
class Attempt:
    """An attempt from its decision on. Several at one candidate, one after the other, know of each other.

    `began`: when it may connect, in monotonic seconds. `tried`: the endpoints of the candidate that were asked, this one
    last. `again_used`: the candidate was asked once more after a failure, and will not be so again. `token`: its breaker
    is half-open, and this attempt is the one that it lets through.
    """

    __slots__ = ("again_used", "began", "candidate", "endpoint", "token", "tried")

    def __init__(
        self, candidate: Candidate, endpoint: Endpoint, began: float, *, token: bool, before: Attempt | None
    ) -> None:
        self.candidate: Final[Candidate] = candidate
        self.endpoint: Final = endpoint
        self.began: Final = began
        self.token = token
        self.tried: list[Endpoint] = [endpoint]
        self.again_used: bool = False
        if before is not None and before.candidate is candidate:
            self.tried = [*before.tried, endpoint]
            self.again_used = before.again_used

    def takes_token(self) -> bool:
        """Returns whether the attempt still has its breaker's token. Whoever asks has it from then on."""
        token, self.token = self.token, False
        return token

    def release(self) -> None:
        """Nothing was learned of the backend, so that somebody else may be let through."""
        if self.takes_token():
            self.candidate.backend.breaker.release()
