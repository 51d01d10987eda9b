"""The mask replaces the router's own keys in text that leaves the router.

A backend may quote the request that it got, key included. Only failures are searched: error bodies, messages, log
lines, `/-/state`. A good answer goes to its client byte for byte, because searching each chunk of each stream would
cost more than forwarding it. Pure.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final, final
from urllib.parse import quote

import orjson

from genset.router.backends.backend import Backend
from genset.router.backends.spelling import is_plain, is_stub, plain_views, start_of, walked

HIDDEN: Final = b"***"
LEAST_KEY_BYTES: Final = 8  # shorter keys are not searched for: they would be found inside ordinary words
RETIRED_KEYS: Final = 32  # earlier keys that are still searched for, because requests with them may be under way
PUBLIC_BYTES: Final = 13  # longest beginning that may be shared by many keys, such as `sk-ant-api03-`

_PUBLIC: Final = re.compile(rb"(?:[A-Za-z]{2,8}[0-9]{0,2}[-_])+")


@final
class Needle:
    """A needle is one key, or what base64 makes of it. Wherever `least` of its first bytes stand, they are masked."""

    __slots__ = ("_always", "_beginning", "_key", "_least")

    def __init__(self, key: bytes, least: int) -> None:
        self._key = key
        self._least = min(least, len(key))
        self._beginning = key[:LEAST_KEY_BYTES]
        self._always = not is_plain(self._beginning)

    def may_be_in(self, views: list[bytes]) -> bool:
        """Returns quickly whether the key may be there. `views`: the data as it is, and without escapes and gaps."""
        if self._always:
            return True
        beginning = self._beginning
        return any(beginning in view for view in views)

    def hidden(self, data: bytes) -> bytes:
        """Returns the data with `***` for the key in any spelling, and for its beginning if something has cut it off."""
        out, done, at = b"", 0, start_of(self._key[0], data, 0)
        while at >= 0:
            count, end = walked(self._key, data, at)
            if count >= self._least or (count >= LEAST_KEY_BYTES and is_stub(data, end)):
                out += data[done:at] + HIDDEN
                done = end
            at = start_of(self._key[0], data, max(done, at + 1))
        return out + data[done:] if done else data


@final
class Mask:
    """A mask knows the keys of one configuration (`secrets`) and those of earlier ones (`retired`)."""

    __slots__ = ("_needles", "_spellings", "secrets")

    def __init__(self, secrets: Iterable[bytes] = (), retired: Iterable[bytes] = ()) -> None:
        current = [secret for secret in secrets if len(secret) >= LEAST_KEY_BYTES]
        old = [secret for secret in retired if len(secret) >= LEAST_KEY_BYTES and secret not in current]
        self.secrets: list[bytes] = list(dict.fromkeys([*current, *old[:RETIRED_KEYS]]))
        #: The longest first, because a key may contain another one.
        longest = sorted(self.secrets, key=lambda secret: -len(secret))
        self._needles: list[Needle] = [needle for secret in longest for needle in _needles(secret)]
        self._spellings: list[bytes] = [spelling for secret in longest for spelling in _own_spellings(secret)]

    def hide(self, data: bytes) -> bytes:
        """Returns the same bytes with `***` for every key in any spelling, also for a key that is cut off."""
        if not self._needles or len(data) < LEAST_KEY_BYTES:
            return data
        views = plain_views(data)
        for needle in self._needles:
            if needle.may_be_in(views):
                data = needle.hidden(data)
        return data

    def hide_whole(self, data: bytes) -> bytes:
        """Hides keys that are not cut off and are spelled as the router does, which is fast enough for good answers."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, HIDDEN)
        return data

    def hide_in(self, text: str) -> str:
        """Does what `hide` does, for text."""
        if not text or not self._needles:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        hidden = self.hide(raw)
        return text if hidden == raw else hidden.decode("utf-8", "replace")


def secrets_of(backends: Iterable[Backend]) -> list[bytes]:
    """Lists every key and password that these backends are given."""
    found: list[bytes] = []
    for backend in backends:
        found += backend.target.secrets
        if backend.target.identity is not None and backend.target.identity.token:
            found.append(backend.target.identity.token)
        if backend.target.proxy is not None:
            found += secrets_of_proxy(backend.target.proxy.credentials)
    return found


def secrets_of_proxy(credentials: bytes) -> list[bytes]:
    """Lists what is secret of a proxy's `user:password`: the pair, its base64 form as it is sent, and the password."""
    if not credentials:
        return []
    _, colon, password = credentials.partition(b":")
    return [credentials, base64.b64encode(credentials), *([password] if colon else [])]


def _own_spellings(secret: bytes) -> list[bytes]:
    """Lists the spellings that the router itself uses: the key as it is, in JSON, and in a URL."""
    written = orjson.dumps(secret.decode("latin-1"))[1:-1]
    return list(dict.fromkeys([secret, written, quote(secret, safe="").encode()]))


def _needles(secret: bytes) -> list[Needle]:
    """Lists what to look for: the key, and what base64 makes of it behind any other words (`Bearer `)."""
    least = _public_bytes(secret) + LEAST_KEY_BYTES
    coded = [base64.b64encode(secret)]
    for ahead in (1, 2):  # bytes of other words in the group of three in which the key begins
        written = base64.b64encode(b"\0" * ahead + secret)
        rest = -(ahead + len(secret)) % 3  # bytes of other words, or padding, in the group of three in which it ends
        coded.append(written[ahead + 1 : len(written) - (rest + 1 if rest else 0)])
    coded += [one.replace(b"+", b"-").replace(b"/", b"_") for one in coded]
    return [Needle(secret, least), *(Needle(one, (least * 4 + 2) // 3) for one in dict.fromkeys(coded))]


def _public_bytes(secret: bytes) -> int:
    """Counts the bytes at a key's beginning that all keys of a provider share (`sk-proj-`): its messages may name them."""
    found = _PUBLIC.match(secret[:PUBLIC_BYTES])
    return found.end() if found is not None else 0
