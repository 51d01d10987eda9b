"""An account is all clouds that show the same key to the same provider at the same host: if it is suspended, all of them are.

What one backend meets may be about its model alone. So when the router itself was refused by one, it asks another one, and so on
until one answers. If two were refused in words that only an account has, and no other has answered since, or if all were, the
account is suspended, and all of its backends are passed over. Those that were not asked yet are asked once; of those that refuse,
one is asked for all whether it is back. Requests of callers never count. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, final

from genset.router.backends.account_words import Why
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import HARD_DOWN_AUTH_SECONDS, Cause
from genset.router.backends.outcomes import Failure, Mark
from genset.router.backends.suspicion import Refusal
from genset.router.dialects.openai.api import PATHS, api_for

APIS: Final = {api.path: api for api in PATHS.values()}
REFUSED: Final = 2  # backends that have to be refused before their account is taken for suspended
_NAMED: Final = (Why.UNPAID, Why.SUSPENDED, Why.KEY)  # which no server says of a model
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

    __slots__ = ("_proved", "members", "suspension")

    def __init__(self) -> None:
        self.members: list[Backend] = []
        self.suspension: Suspension | None = None
        self._proved: list[Backend] = []  # that have refused the router itself

    def take(self, members: list[Backend], now: float) -> None:
        """Takes the backends of a new configuration. If the account is suspended, so is one that is new to it."""
        self.members = members
        self._proved = [backend for backend in self._proved if backend in members]
        if self.is_suspended(now) and self.suspension is not None:
            self._suspend(self.suspension.failure, now)

    def is_suspended(self, now: float) -> bool:
        """Returns whether it is, by what its backends say: refusals expire, and end with the configuration."""
        self._proved = [backend for backend in self._proved if _refusal(backend, now) is not None]
        if not self._proved:
            self.suspension = None
        return self.suspension is not None

    def asks(self, backend: Backend, now: float) -> bool:
        """Returns whether this backend is asked if it is back: of those that refuse for a suspended account one is, for all."""
        return not self.is_suspended(now) or backend not in self._proved or backend is self._proved[0]

    def refused(self, backend: Backend, failure: Failure, now: float) -> None:
        """Notes that the router itself was refused by a backend with what may be about the account."""
        suspended = self.is_suspended(now)
        if backend not in self._proved:
            self._proved.append(backend)
        if suspended:
            self._suspend(failure, now)
            return
        first = min(found.since for one in self._proved if (found := _refusal(one, now)) is not None)
        others = [one for one in self.members if one not in self._proved]
        silent = [one for one in others if one.standing.suspicion.answered_at < first]
        named = all((found := _refusal(one, now)) is not None and found.why in _NAMED for one in self._proved)
        if len(self._proved) >= REFUSED and (not others or (named and len(silent) == len(others))):
            self._suspend(failure, now)
        elif silent:
            silent[0].standing.doubt(silent[0].endpoints[0], _path(silent[0]), now)

    def taken(self, backend: Backend, now: float) -> None:
        """Notes that a backend did not refuse the router's own request: the account is good.

        Those that have refused for themselves are asked at once.
        """
        if backend in self._proved:
            self._proved.remove(backend)
        if self.suspension is None:
            return
        self.suspension = None
        for other in self.members:
            refusal = _refusal(other, now)
            if refusal is not None and other in self._proved:
                refusal.probe_at = now
            elif refusal is not None:
                other.refusals.clear("")

    def _suspend(self, failure: Failure, now: float) -> None:
        since = self.suspension.since if self.suspension is not None else now
        self.suspension = Suspension(since, failure)
        for backend in self.members:
            known = _refusal(backend, now)
            if known is None:
                backend.standing.refuse(Cause.AUTH, _path(backend), "", failure, now)
            else:  # it lasts on, and is asked when it would have been: another one's refusal must not put that off
                known.until = now + HARD_DOWN_AUTH_SECONDS


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
            account.taken(backend, now)
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
