"""Replaces the router's own keys in text that leaves it: a backend may quote the request that it got, key included.

Pure. Only what has failed is searched: error bodies, messages, log lines of failures, `/-/state`. A good answer goes to
its client byte for byte, because searching each chunk of each stream would cost more than passing it on.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from typing import Final, final
from urllib.parse import quote

import orjson

from genset.router.backend import Backend

HIDDEN: Final = b"***"
LEAST_KEY_BYTES: Final = 8  # shorter keys are not searched for: they would be found inside ordinary words
RETIRED_KEYS: Final = 32  # that were in use before and are still searched for: requests with them may be under way
#: How servers escape what JSON allows and HTML does not want: Go's encoding/json, PHP's json_encode.
_ESCAPED: Final = {
    b"&": b"\\u0026",
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"/": b"\\/",
    b"=": b"\\u003d",
    b"+": b"\\u002b",
}


@final
class Mask:
    """Knows the keys of one configuration, and in which spellings they may come back.

    `secrets` are the keys as they are; `retired` those of earlier configurations.
    """

    __slots__ = ("_spellings", "secrets")

    def __init__(self, secrets: Iterable[bytes] = (), retired: Iterable[bytes] = ()) -> None:
        current = [secret for secret in secrets if len(secret) >= LEAST_KEY_BYTES]
        old = [secret for secret in retired if len(secret) >= LEAST_KEY_BYTES and secret not in current]
        self.secrets: list[bytes] = list(dict.fromkeys([*current, *old[:RETIRED_KEYS]]))
        spellings: dict[bytes, None] = {}
        for secret in self.secrets:
            for spelling in _spellings(secret):
                spellings[spelling] = None
        #: Longest first: a key may hold another one.
        self._spellings: list[bytes] = sorted(spellings, key=lambda spelling: -len(spelling))

    def hide(self, data: bytes) -> bytes:
        """The same bytes with `***` for every key. A key that is cut off at the end is hidden, too."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, HIDDEN)
            at = data.find(spelling[:LEAST_KEY_BYTES], max(0, len(data) - len(spelling)))
            while at >= 0:
                if spelling.startswith(data[at:]):
                    data = data[:at] + HIDDEN
                    break
                at = data.find(spelling[:LEAST_KEY_BYTES], at + 1)
        return data

    def hide_whole(self, data: bytes) -> bytes:
        """The same for what nothing has cut: fast enough for answers that are good."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, HIDDEN)
        return data

    def hide_in(self, text: str) -> str:
        """The same for text."""
        if not text or not self._spellings:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        hidden = self.hide(raw)
        return text if hidden == raw else hidden.decode("utf-8", "replace")


def secrets_of(backends: Iterable[Backend]) -> list[bytes]:
    """Every key that these backends are given."""
    found: list[bytes] = []
    for backend in backends:
        found += [backend.key, *secrets_of_proxy(backend.proxy_credentials)]
    return found


def secrets_of_proxy(credentials: bytes) -> list[bytes]:
    """What is secret of a proxy's `user:password`: the two together, as they are sent, and the password alone."""
    if not credentials:
        return []
    _, colon, password = credentials.partition(b":")
    return [credentials, base64.b64encode(credentials), *([password] if colon else [])]


def _spellings(secret: bytes) -> list[bytes]:
    """A key as it is, and as JSON, JSON in a JSON text, HTML and URLs write it."""
    text = secret.decode("latin-1")
    written = orjson.dumps(text)[1:-1]
    twice = orjson.dumps(written.decode())[1:-1]
    found = [secret, written, twice, html.escape(text).encode("latin-1"), quote(secret, safe="").encode()]
    for escaped in (_with_escapes(written, b"/"), _with_escapes(written, b"&<>"), _with_escapes(written, b"&<>=+/")):
        found += [escaped, orjson.dumps(escaped.decode())[1:-1]]
    return list(dict.fromkeys(found))


def _with_escapes(written: bytes, which: bytes) -> bytes:
    out = written
    for byte, escape in _ESCAPED.items():
        if byte in which:
            out = out.replace(byte, escape)
    return out
