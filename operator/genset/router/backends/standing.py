"""A standing is what requests have said against a backend, what of it is proved, and who looks into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from genset.contracts.router_admin import ServerReport
from genset.router.backends.account_words import why_refused, why_unknown
from genset.router.backends.breaker import HARD_DOWN_AUTH_SECONDS, HARD_DOWN_MODEL_SECONDS, PATH_DOWN_SECONDS, Cause
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure
from genset.router.backends.suspicion import ProvedRefusals, Refusal, Suspicion, Witness
from genset.router.dialects.upstream_error import refusal_words

LIMITED_SECONDS: Final = 20.0  # pause of one path, if the server asks for one and does not say how long
#: How long a refusal holds if nothing ends it earlier. A pause lasts as long as the server's answer says.
DOWN_SECONDS: Final = {
    Cause.AUTH: HARD_DOWN_AUTH_SECONDS,
    Cause.MODEL: HARD_DOWN_MODEL_SECONDS,
    Cause.FAILURES: PATH_DOWN_SECONDS,
}


@final
class Standing:
    """A standing holds one backend's suspicion and refusals, and starts the router's own requests that settle them.

    `broken_by` is what `failover.toCloudOn` calls the failure that opened a breaker. `unreached`: the last attempt
    could not reach the backend. `server` is what is known of a server elsewhere that is asked for completions; None: nothing.
    """

    __slots__ = ("_ask", "_fell", "broken_by", "refusals", "server", "suspicion", "unreached")

    def __init__(self) -> None:
        self.suspicion = Suspicion()
        self.refusals = ProvedRefusals()
        self.broken_by = ""
        self.unreached = False
        self.server: ServerReport | None = None
        self._ask: Callable[[Endpoint, str], None] | None = None
        self._fell: Callable[[], None] | None = None

    def told_of(self, server: ServerReport) -> None:
        """Takes what is known of a server elsewhere. Other words of the same refusal are no news."""
        known = self.server
        if known is None or (known.answers, known.status) != (server.answers, server.status):
            self.server = server

    def attend(self, ask: Callable[[Endpoint, str], None] | None, fell: Callable[[], None] | None = None) -> None:
        """Sets who looks into suspicions; None: nobody does any longer.

        `ask` has the router itself ask an endpoint on a path. `fell` is called when a breaker opens or a refusal is
        proved.
        """
        self._ask, self._fell = ask, fell

    def proves(self, cause: Cause, about: str, witness: Witness, now: float) -> bool:
        """Adds a testimony. Returns whether it is proved, and not only about this path while another one is answered."""
        return self.suspicion.hear(cause, about, witness, now) and not self.suspicion.elsewhere(witness.path, now)

    def doubt(self, endpoint: Endpoint, path: str, now: float) -> None:
        """Has the router itself ask, because only that can settle what is said."""
        if self._ask is not None and self.suspicion.may_ask(now):
            self._ask(endpoint, path)

    def refuse(self, cause: Cause, met_on: str, path: str, failure: Failure, now: float) -> None:
        """Books a proved refusal: on this path, or on every path if `path` is empty."""
        seconds = DOWN_SECONDS.get(cause, 0.0) or failure.retry_after or LIMITED_SECONDS
        in_form = bool(refusal_words(failure.body))
        why = why_refused(failure) if cause is Cause.AUTH else ""
        if cause is Cause.MODEL:
            why = why_unknown(failure, worked=met_on in self.suspicion.paths)
        self.refusals.mark(Refusal(cause, met_on, path, now, now + seconds, failure.detail, in_form=in_form, why=why))
        self._tell()

    def broken(self, word: str) -> None:
        """Notes that a breaker has opened, and what `failover.toCloudOn` calls the reason."""
        self.broken_by = word
        self._tell()

    def _tell(self) -> None:
        if self._fell is not None:
            self._fell()
