"""A visit is what somebody has begun by signing in, and what ends: by signing out, by the clock, or because his token has.

Visits live in this process alone: a new one asks everybody to sign in again, and no token is ever written anywhere. A cookie
holds nothing but a random name, of which the digest is kept here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from genset.console.reviews import NoAnswer, Person

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = (
    30 * 60.0
)  # without a page that somebody has asked for; pages that refresh themselves do not count
LONGEST_SECONDS: Final = 12 * 3600.0
REVIEW_SECONDS: Final = 60.0  # between two looks whether a token still holds
BLIND_SECONDS: Final = 600.0  # that a visit goes on while nobody can say
MOST_VISITS: Final = 1000
MOST_OF_ONE: Final = 20  # of one person; the oldest makes way


@dataclass
class ConsoleVisit:
    """A visit ends at `until`, in seconds of the process's clock. `token` is empty if a provider has named the person."""

    person: Person
    token: str
    began: float
    until: float
    used: float
    reviewed: float
    streams: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Visits:
    """The visits of this process. `review` says who shows a token."""

    def __init__(
        self, review: Callable[[str], Awaitable[Person | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._review = review
        self._clock = clock
        self._held: dict[bytes, ConsoleVisit] = {}

    def begin(self, person: Person, token: str, seconds: float | None = None) -> str:
        """Begins a visit. Returns what its cookie holds. `seconds`: how long the token holds, if that is known."""
        now = self._clock()
        self._make_room(person)
        name = secrets.token_urlsafe(32)
        until = now + min(LONGEST_SECONDS, seconds if seconds is not None else LONGEST_SECONDS)
        self._held[_digest(name)] = ConsoleVisit(person, token, now, until, now, now)
        return name

    def find(self, cookie: str, *, uses: bool) -> ConsoleVisit | None:
        """Returns the visit of a cookie, if it is not over. `uses`: a person has asked, and not a page by itself."""
        key = _digest(cookie)
        visit, now = self._held.get(key), self._clock()
        if visit is None:
            return None
        if now >= visit.until or now - visit.used >= IDLE_SECONDS:
            self._end(key)
            return None
        if uses:
            visit.used = now
        return visit

    def end(self, cookie: str) -> None:
        """Ends a visit, and the streams of its pages."""
        self._end(_digest(cookie))

    async def review_forever(self) -> None:
        """Ends visits that are over, and those whose token holds no more."""
        while True:
            await asyncio.sleep(REVIEW_SECONDS / 12)
            await self.review_due()

    async def review_due(self) -> None:
        """Looks at each visit once a minute."""
        for key, visit in list(self._held.items()):
            now = self._clock()
            if now >= visit.until or now - visit.used >= IDLE_SECONDS:
                self._end(key)
            elif visit.token and now - visit.reviewed >= REVIEW_SECONDS:
                await self._review_one(key, visit)

    async def _review_one(self, key: bytes, visit: ConsoleVisit) -> None:
        try:
            person = await self._review(visit.token)
        except NoAnswer:
            if self._clock() - visit.reviewed >= BLIND_SECONDS:
                self._end(key)
            return
        if person is None or person.name != visit.person.name:
            log.info("Ended the visit of %s: the token holds no more", visit.person.name)
            self._end(key)
        else:
            visit.person, visit.reviewed = person, self._clock()

    def _make_room(self, person: Person) -> None:
        own = [key for key, visit in self._held.items() if visit.person.name == person.name]
        if len(own) >= MOST_OF_ONE:
            self._end(own[0])
        if len(self._held) >= MOST_VISITS:
            self._end(next(iter(self._held)))

    def _end(self, key: bytes) -> None:
        visit = self._held.pop(key, None)
        if visit is not None:
            visit.over.set()


def seconds_left(token: str, now: float) -> float | None:
    """Returns how long a token says that it holds; None if it does not say. It proves nothing, and only shortens a visit."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return max(0.0, float(claims["exp"]) - now)
    except (ValueError, KeyError, TypeError):
        return None


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
