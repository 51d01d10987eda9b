"""A testimony is what one request's failures say against the backends that it met.

Each endpoint hears of a request once, however often it was asked. If a second backend fails with the same body, the
body is what is wrong: then neither hears of it, unless a third one takes it. What backends make of a testimony is in
`suspicion`. Pure.
"""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure, Mark, Outcome
from genset.router.backends.suspicion import Witness

#: What a caller's request can make a server answer, so that it is only that caller's testimony.
_TESTIMONY: Final = (Mark.ENDPOINT, Mark.BACKEND)
#: Outcomes that a body can cause at every backend that gets it.
_OF_A_BODY: Final = (Outcome.SERVER_ERROR, Outcome.INVALID_RESPONSE, Outcome.TOO_LATE, Outcome.INTERRUPTED)


@final
class _Met:
    """What was met is one failure of this request. `counted`: the backend has heard of it."""

    __slots__ = ("backend", "began", "counted", "endpoint", "failure")

    def __init__(self, backend: Backend, endpoint: Endpoint, failure: Failure, began: float, counted: bool) -> None:
        self.backend = backend
        self.endpoint = endpoint
        self.failure = failure
        self.began = began
        self.counted = counted


@final
class Testimony:
    """A testimony is that of one request.

    `caller` is whose request it is, as suspicions know them; `body` is as it arrived; `path` is that of the API.
    """

    __slots__ = ("_body", "_caller", "_met", "_path")

    def __init__(self, caller: str, body: bytes, path: str) -> None:
        self._caller = caller
        self._body = body
        self._path = path
        self._met: list[_Met] | None = None

    def witness(self) -> Witness:
        """Returns who testifies. Called only after a failure, because hashing a large body takes time."""
        return Witness(self._caller, hash(self._body), self._path)

    def book(
        self, backend: Backend, endpoint: Endpoint, failure: Failure, now: float, began: float, permit: bool
    ) -> None:
        """Tells a backend how an attempt that had reached it failed."""
        witness = self.witness()
        if failure.row.mark not in _TESTIMONY:
            backend.failed(endpoint, failure, now, began, permit, witness=witness)
            return
        met = self._met = self._met or []
        known = any(other.endpoint is endpoint for other in met)
        convicted = failure.outcome in _OF_A_BODY and any(other.backend is not backend for other in met)
        if not (convicted or known):
            backend.failed(endpoint, failure, now, began, permit, witness=witness)
        elif permit:
            backend.breaker.release()
        if convicted:
            self._withdraw(witness)
        if not known:
            met.append(_Met(backend, endpoint, failure, began, not convicted))

    def _withdraw(self, witness: Witness) -> None:
        for other in self._met or ():
            if other.counted and other.failure.outcome in _OF_A_BODY:
                other.backend.withdraw(other.endpoint, witness)
                other.counted = False

    def acquit(self, now: float) -> None:
        """Tells the backends that were spared what they failed with, because another one has taken the body."""
        for other in self._met or ():
            if not other.counted:
                other.counted = True
                other.backend.failed(other.endpoint, other.failure, now, other.began, False, witness=self.witness())
