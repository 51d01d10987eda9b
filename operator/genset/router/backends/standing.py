"""What requests have said against a backend, what of it is proved, and who looks into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from genset.router.backends.breaker import HARD_DOWN_AUTH_SECONDS, HARD_DOWN_MODEL_SECONDS, PATH_DOWN_SECONDS, Cause
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure
from genset.router.backends.suspicion import Refusal, Refusals, Suspicion, Witness

LIMITED_SECONDS: Final = 20.0  # that one path is left in peace if it asks for a pause and says not how long
#: How long a refusal holds that nothing ends before: the pause that a server asks for stands in its answer.
DOWN_SECONDS: Final = {
    Cause.AUTH: HARD_DOWN_AUTH_SECONDS,
    Cause.MODEL: HARD_DOWN_MODEL_SECONDS,
    Cause.FAILURES: PATH_DOWN_SECONDS,
}


@final
class Standing:
    """One backend's suspicion and refusals, and the router's own requests, which settle them.

    `broken_by` is what `failover.toCloudOn` calls the failure that opened a breaker, `unreached` whether the last attempt
    found no way to the backend.
    """

    __slots__ = ("_ask", "_fell", "broken_by", "refusals", "suspicion", "unreached")

    def __init__(self) -> None:
        self.suspicion = Suspicion()
        self.refusals = Refusals()
        self.broken_by = ""
        self.unreached = False
        self._ask: Callable[[Endpoint, str], None] | None = None
        self._fell: Callable[[], None] | None = None

    def attend(self, ask: Callable[[Endpoint, str], None] | None, fell: Callable[[], None] | None = None) -> None:
        """`ask` has the router itself ask an endpoint on a path; `fell` hears of breakers that open and proved refusals.

        None: nobody looks into it any longer.
        """
        self._ask, self._fell = ask, fell

    def proves(self, cause: Cause, about: str, witness: Witness, now: float) -> bool:
        """Adds a testimony. Whether it is proved: not where it may be of one path, while another is answered."""
        return self.suspicion.hear(cause, about, witness, now) and not self.suspicion.elsewhere(witness.path, now)

    def doubt(self, endpoint: Endpoint, path: str, now: float) -> None:
        """Something is said that only a request of the router's own can settle."""
        if self._ask is not None and self.suspicion.may_ask(now):
            self._ask(endpoint, path)

    def refuse(self, cause: Cause, met_on: str, path: str, failure: Failure, now: float) -> None:
        """The backend refuses the router, proved: on this path, or on every one if it is empty."""
        seconds = DOWN_SECONDS.get(cause, 0.0) or failure.retry_after or LIMITED_SECONDS
        self.refusals.mark(Refusal(cause, met_on, path, now, now + seconds, failure.detail))
        self._tell()

    def broken(self, word: str) -> None:
        """A breaker has opened."""
        self.broken_by = word
        self._tell()

    def _tell(self) -> None:
        if self._fell is not None:
            self._fell()
