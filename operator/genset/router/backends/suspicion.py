"""A suspicion is what requests have said against a backend as long as it is not proved.

A caller can make a server answer 500, 401 or 404 by what the request contains, so what one request met is its caller's
testimony and no more. It is proved by the router's own request (`watch.own_request`), or if different callers'
different bodies agree and nothing was answered in between. Until then the backend stays in use: a suspicion costs one
request an attempt, a verdict would cost everybody the backend. Pure.
"""

from __future__ import annotations

import math
from typing import Final, final

from genset.router.backends.breaker import Cause

CALLERS: Final = 2  # that have to agree
BODIES: Final = 2  # different bodies that have to agree
HEARD_SECONDS: Final = 30.0  # a testimony counts for so long
SPEAKS_SECONDS: Final = 3.0  # an answer so recent speaks for the backend, whoever received it
ASK_SECONDS: Final = 5.0  # between two requests of the router's own about a suspicion
REFUSAL_PROBE_SECONDS: Final = 10.0  # between two requests of the router's own to a backend that refused it
PATH_SECONDS: Final = 60.0  # after an answer on another path, in which a failure may be about one path alone
PATH_PROBE_SECONDS: Final = 5.0  # between two of the router's own requests to a path that fails while others answer
_MOST: Final = 16  # callers, and bodies, that are remembered


@final
class Witness:
    """A witness is who met a failure: the caller (an address), a hash of the body, and the path (`/chat/completions`)."""

    __slots__ = ("body", "caller", "path")

    def __init__(self, caller: str, body: int, path: str) -> None:
        self.caller = caller
        self.body = body
        self.path = path


@final
class _Hearsay:
    """Hearsay counts who has said one thing against the backend since its last answer."""

    __slots__ = ("_bodies", "_callers", "_since")

    def __init__(self) -> None:
        self._callers: set[str] = set()
        self._bodies: set[int] = set()
        self._since = 0.0

    def hear(self, witness: Witness, now: float) -> bool:
        """Adds a witness. Returns whether enough callers agree."""
        if now - self._since > HEARD_SECONDS:
            self._since = now
            self._callers.clear()
            self._bodies.clear()
        if len(self._callers) < _MOST:
            self._callers.add(witness.caller)
        if len(self._bodies) < _MOST:
            self._bodies.add(witness.body)
        return len(self._callers) >= CALLERS and len(self._bodies) >= BODIES

    def withdraw(self, witness: Witness) -> None:
        self._bodies.discard(witness.body)


@final
class Suspicion:
    """A suspicion holds everything that is said against one backend and not proved. All times are monotonic seconds.

    `heard`: something is said; as long as nothing is, an answer costs one comparison. `paths` holds the time of the
    last answer on each path of the API.
    """

    __slots__ = ("_answered_at", "_asking", "_next", "_said", "heard", "paths")

    def __init__(self) -> None:
        self._said: dict[tuple[Cause, str], _Hearsay] = {}  # by cause and, if it is about one path, by path
        self._answered_at = -HEARD_SECONDS
        self._asking = False
        self._next = 0.0
        self.heard = False
        self.paths: dict[str, float] = {}

    @property
    def latest(self) -> str:
        """Names the path that was answered last; "" if none was."""
        return max(self.paths, key=lambda path: self.paths[path], default="")

    @property
    def answered_at(self) -> float:
        """Returns when the backend last answered anybody, the router itself included; long ago if it never did."""
        return max(self._answered_at, *self.paths.values()) if self.paths else self._answered_at

    def elsewhere(self, path: str, now: float) -> str:
        """Returns the other path of the same server that was answered last; "" if none was of late."""
        others = [(at, other) for other, at in self.paths.items() if other != path and now - at < PATH_SECONDS]
        return max(others)[1] if others else ""

    def hear(self, cause: Cause, path: str, witness: Witness, now: float) -> bool:
        """Adds a testimony. Returns whether it is proved: callers agree, and the backend has not just answered anybody."""
        self.heard = True
        testimony = self._said.get((cause, path))
        if testimony is None:
            testimony = self._said[cause, path] = _Hearsay()
        return testimony.hear(witness, now) and now - self._answered_at >= SPEAKS_SECONDS

    def withdraw(self, witness: Witness) -> None:
        """Takes back what one body said: it failed at another backend, too, so the body is at fault."""
        for testimony in self._said.values():
            testimony.withdraw(witness)

    def answered(self, now: float) -> None:
        """Drops everything, because the backend has answered. Called only while something is `heard`, or after a probe."""
        self._said.clear()
        self._answered_at = now
        self.heard = False

    def may_ask(self, now: float) -> bool:
        """Returns whether the router should ask by itself now. If so, it counts as asking until `asked` is called."""
        if self._asking or now < self._next:
            return False
        self._asking = True
        return True

    def asked(self, now: float) -> None:
        """Notes that the router's own request has ended, whatever its outcome."""
        self._asking = False
        self._next = now + ASK_SECONDS


@final
class Refusal:
    """A refusal is proved: of the key, as a rule on every path; of the model, or of any work, on one path.

    `in_form`: it was an error as OpenAI's API has them, so that the server is one that may be spoken of.

    `why` is what more is known of its reason (`account_words.Why`).

    `met_on` is the path where it was met, and which is asked again. `path` is where it holds; "" stands for every path.
    """

    __slots__ = ("cause", "detail", "in_form", "met_on", "path", "probe_at", "since", "until", "why")

    def __init__(
        self,
        cause: Cause,
        met_on: str,
        path: str,
        since: float,
        until: float,
        detail: str,
        *,
        in_form: bool = True,
        why: str = "",
    ) -> None:
        self.cause = cause
        self.met_on = met_on
        self.path = path
        self.since = since
        self.until = until
        self.detail = detail
        self.in_form = in_form
        self.why = why
        self.probe_at = since + self.probe_seconds

    def probed(self, now: float) -> None:
        """Notes that the router itself asks now whether the refusal still holds."""
        self.probe_at = now + self.probe_seconds

    @property
    def probe_seconds(self) -> float:
        """Returns the seconds between two of the router's own requests, which ask whether the refusal still holds."""
        if self.cause is Cause.RATE_LIMITED:
            return math.inf  # the server asked for a pause
        return PATH_PROBE_SECONDS if self.cause is Cause.FAILURES else REFUSAL_PROBE_SECONDS


@final
class ProvedRefusals:
    """Refusals are those that one backend was proved to make, by path. `known`: there is at least one."""

    __slots__ = ("_by_path", "known")

    def __init__(self) -> None:
        self._by_path: dict[str, Refusal] = {}
        self.known = False

    def mark(self, refusal: Refusal) -> None:
        known = self._by_path.get(refusal.path)
        if known is not None and known.cause is refusal.cause:
            refusal.since = known.since
        self._by_path[refusal.path] = refusal
        self.known = True

    def clear(self, path: str) -> None:
        """Ends the refusals that cover this path, because the backend has answered: it takes the key and the model."""
        self._by_path.pop("", None)
        self._by_path.pop(path, None)
        self.known = bool(self._by_path)

    def forget(self) -> None:
        """Ends all refusals, because what was refused has changed."""
        self._by_path.clear()
        self.known = False

    def of(self, path: str, now: float) -> Refusal | None:
        """Returns the refusal that a request on this path would meet."""
        if not self.known:
            return None
        self._expire(now)
        return self._by_path.get("") or self._by_path.get(path)

    def all(self, now: float) -> list[Refusal]:
        """Returns all refusals, that of the key first."""
        self._expire(now)
        return [self._by_path[path] for path in sorted(self._by_path)]

    def _expire(self, now: float) -> None:
        for path in [path for path, refusal in self._by_path.items() if now >= refusal.until]:
            del self._by_path[path]
        self.known = bool(self._by_path)
