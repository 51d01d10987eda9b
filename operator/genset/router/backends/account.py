"""An account is all clouds that show the same key to the same provider at the same host: if it is suspended, all of them are.

What one backend meets may be about its model alone, so an account is suspended only if two of its backends were refused by
the router's own requests, and none has answered in between: when the first is refused, the router asks one other. Requests of
callers never count. While it is suspended, one of its backends is asked whether it is back, for all of them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, final

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause
from genset.router.backends.outcomes import Failure, Mark
from genset.router.backends.suspicion import Refusal
from genset.router.dialects.openai.api import PATHS, api_for

APIS: Final = {api.path: api for api in PATHS.values()}
REFUSED: Final = 2  # backends that have to be refused before their account is taken for suspended
#: What a request may meet whose key was taken.
_TAKEN: Final = (Mark.NONE, Mark.MODEL, Mark.COOL)
_Identity = tuple[str, str, int, bytes, str]


class Suspension(NamedTuple):
    """A suspension began at `since`, in seconds of the router's clock. `failure` is what the router itself met last."""

    since: float
    failure: Failure


@final
class Account:
    """An account knows its backends, and whether it is suspended. `suspension`: None while it is not."""

    __slots__ = ("_turn", "members", "suspension")

    def __init__(self) -> None:
        self.members: list[Backend] = []
        self.suspension: Suspension | None = None
        self._turn = 0  # of its backends, to be asked whether it is the account or a model that is refused

    def take(self, members: list[Backend], now: float) -> None:
        """Takes the backends of a new configuration. If the account is suspended, so is one that is new to it."""
        self.members = members
        if self.is_suspended(now) and self.suspension is not None:
            self._suspend(self.suspension.failure, now)

    def is_suspended(self, now: float) -> bool:
        """Returns whether it is, by what its backends say: refusals expire, and end with the configuration."""
        if self.suspension is not None and not self._refused(now):
            self.suspension = None
        return self.suspension is not None

    def asks(self, backend: Backend, now: float) -> bool:
        """Returns whether this backend is asked if it is back: of a suspended account one is, for all."""
        return not self.is_suspended(now) or self._refused(now)[0] is backend

    def refused(self, backend: Backend, failure: Failure, now: float) -> None:
        """Notes that the router itself was refused by a backend with what may be about the account."""
        refused = self._refused(now)
        if self.is_suspended(now) or self._is_proved(refused, now):
            self._suspend(failure, now)
            return
        others = [other for other in self.members if other not in refused]
        if len(refused) == 1 and others and not self._was_good(others, refused, now):
            self._turn += 1
            other = others[self._turn % len(others)]
            other.standing.doubt(other.endpoints[0], _path(other), now)

    def taken(self, now: float) -> None:
        """Notes that a request of the router's own was not refused: the account is good, for all of its backends."""
        if self.is_suspended(now):
            self.suspension = None
            for backend in self._refused(now):
                backend.refusals.clear("")

    def _suspend(self, failure: Failure, now: float) -> None:
        since = self.suspension.since if self.suspension is not None else now
        self.suspension = Suspension(since, failure)
        for backend in self.members:
            known = _refusal(backend, now)
            met_on = known.met_on if known is not None else _path(backend)
            backend.standing.refuse(Cause.AUTH, met_on, "", failure, now)

    def _is_proved(self, refused: list[Backend], now: float) -> bool:
        others = [other for other in self.members if other not in refused]
        return len(refused) >= REFUSED and not self._was_good(others, refused, now)

    def _was_good(self, others: list[Backend], refused: list[Backend], now: float) -> bool:
        """Returns whether another backend has answered since the first was refused: then the model is what is refused."""
        first = min(found.since for backend in refused if (found := _refusal(backend, now)) is not None)
        return any(other.standing.suspicion.answered_at >= first for other in others)

    def _refused(self, now: float) -> list[Backend]:
        return [backend for backend in self.members if _refusal(backend, now) is not None]


@final
class Accounts:
    """Accounts are those of one router's backends, by what they show to whom. They outlive configurations."""

    __slots__ = ("_by_backend", "_by_identity")

    def __init__(self) -> None:
        self._by_identity: dict[_Identity, Account] = {}
        self._by_backend: dict[Backend, Account] = {}

    def take(self, backends: Iterable[Backend], now: float) -> None:
        """Takes the backends of a new configuration. Those without a key, and models of the house, are of no account."""
        found: dict[_Identity, list[Backend]] = {}
        for backend in backends:
            if not backend.local and (identity := _identity(backend)) is not None:
                found.setdefault(identity, []).append(backend)
        before = self._by_identity
        self._by_identity = {identity: before.get(identity) or Account() for identity in found}
        self._by_backend = {backend: self._by_identity[identity] for identity in found for backend in found[identity]}
        for identity, members in found.items():
            self._by_identity[identity].take(members, now)

    def of(self, backend: Backend) -> Account | None:
        """Returns the account of a backend; None if it is of none."""
        return self._by_backend.get(backend)

    def suspended(self, now: float) -> list[Account]:
        """Returns the accounts that are suspended now, in the order of their backends."""
        return [account for account in self._by_identity.values() if account.is_suspended(now)]

    def told(self, backend: Backend, failure: Failure | None, now: float) -> None:
        """Takes what a request of the router's own met at a backend; None: it was answered."""
        account = self.of(backend)
        if account is None:
            return
        mark = failure.row.mark if failure is not None else Mark.NONE
        if failure is None or (failure.status and mark in _TAKEN):
            account.taken(now)
        elif mark is Mark.AUTH and _refusal(backend, now) is not None:
            account.refused(backend, failure, now)


def _identity(backend: Backend) -> _Identity | None:
    """Returns by what a cloud knows who asks; None if it does not. Headers may name another organisation of the same key."""
    target, url = backend.target, backend.config.url
    identity = url.identity.model_dump_json() if url is not None and url.identity is not None else ""
    if not target.secrets and not identity:
        return None
    return target.provider.name, target.host, target.port, target.own_lines, identity


def _refusal(backend: Backend, now: float) -> Refusal | None:
    """Returns the refusal of a backend's key, as it holds on every path; None if there is none."""
    return next((found for found in backend.refusals.all(now) if found.cause is Cause.AUTH and not found.path), None)


def _path(backend: Backend) -> str:
    """Returns the path on which a backend is asked: the one that it answered last, if something small can be asked for there."""
    latest = APIS.get(backend.standing.suspicion.latest)
    return latest.path if latest is not None and not latest.passes else api_for(backend.task).path
