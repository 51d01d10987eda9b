"""Every answer carries what keeps a browser honest, and every request that changes something has to come from a page of ours."""

from __future__ import annotations

import time
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: No inline script or style, nothing from elsewhere, in nobody's frame.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send forms without an origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
TRIALS: Final = 30  # of signing in, by everybody together
TRIAL_SECONDS: Final = 60.0
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class Hardened:
    """Adds the headers to every answer. Whatever says nothing of being kept is not kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if not is_local(Headers(scope=scope)):
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self._app(scope, receive, hardened if scope["type"] == "http" else send)


def is_local(headers: Headers) -> bool:
    """Returns whether a browser has been sent to its own machine, where `kubectl port-forward` listens without TLS."""
    return urlsplit(f"//{headers.get('host', '')}").hostname in _LOCAL


def cookie_name(headers: Headers) -> str:
    """Returns the cookie's name. `__Host-` has browsers take it over TLS alone, and from this host alone (RFC 6265bis)."""
    return "genset-console" if is_local(headers) else "__Host-genset-console"


def is_ours(request: Request) -> bool:
    """Returns whether a page of ours has sent a request: browsers say so, and whoever says nothing is not a browser of today."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    site = request.headers.get("sec-fetch-site")
    return site in (None, "same-origin") and origin is not None and urlsplit(origin).netloc == host


class SignInTrials:
    """Trials of signing in are bounded, so that nobody has the API server asked without end."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()

    def take(self) -> bool:
        """Takes one. Returns whether there was one left."""
        now = time.monotonic()
        while self._recent and now - self._recent[0] > TRIAL_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= TRIALS:
            return False
        self._recent.append(now)
        return True
