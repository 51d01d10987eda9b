"""CORS says which web pages may use the router from a browser (WHATWG Fetch, 3.3): none unless a policy names origins. Pure.

Credentials of browsers (cookies) are never allowed; a page sends its API key itself, if it has one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, final

PREFLIGHT_SECONDS: Final = 3600  # that a browser may remember what a preflight was told
REQUESTED_HEADERS_BYTES: Final = 1024  # of a preflight; a page that names more gets the usual ones

ANY: Final = "*"
_EXPOSED: Final = (
    b"x-request-id, retry-after, x-should-retry, x-genset-error, x-genset-backend, x-genset-tier, x-genset-reason, "
    b"x-genset-attempts, x-genset-cost, x-genset-dropped, x-genset-upstream-request-id"
)
_USUAL_HEADERS: Final = b"authorization, content-type"
_HEADER_LIST: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]+")
_VARY: Final = b"vary: origin\r\n"


@final
class Cors:
    """A configuration allows these origins, each with the header lines of its answers."""

    __slots__ = ("_allowed", "_others")

    def __init__(self, origins: Collection[str]) -> None:
        self._allowed = {origin.encode(): _lines(origin.encode()) + _VARY for origin in origins if origin != ANY}
        self._others = _lines(b"*") if ANY in origins else _VARY

    def lines(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Returns header lines for the answer to a request with these headers."""
        origin = headers.get(b"origin")
        return self._others if origin is None else self._allowed.get(origin, self._others)

    def preflight(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Returns header lines for the answer to a browser that asks whether a page may send a request."""
        lines = self.lines(headers)
        if lines is _VARY:
            return lines
        wanted = headers.get(b"access-control-request-headers", b"")
        if not wanted or len(wanted) > REQUESTED_HEADERS_BYTES or not _HEADER_LIST.fullmatch(wanted):
            wanted = _USUAL_HEADERS
        return (
            b"%baccess-control-allow-methods: GET, POST\r\naccess-control-allow-headers: %b\r\naccess-control-max-age: %d\r\n"
            % (
                lines,
                wanted,
                PREFLIGHT_SECONDS,
            )
        )


def is_preflight(method: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Returns whether a browser asks on a page's behalf."""
    return method == b"OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def _lines(origin: bytes) -> bytes:
    return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n" % (origin, _EXPOSED)
