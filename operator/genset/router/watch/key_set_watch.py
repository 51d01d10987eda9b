"""A key set watch keeps the keys of an identity provider fresh, in the background: no request ever waits for the provider.

What was fetched stays in use while the provider is away, for however long: its tokens end by themselves.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from genset.addresses import server_of
from genset.off_limits import OffLimits
from genset.router.access.key_set import KEY_SET_BYTES, BadKeySet, KeySet
from genset.router.access.tokens import Tokens

log = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 300.0  # between two fetches, if nothing asks for one
MISS_SECONDS: Final = 30.0  # at least, between two fetches, whatever keys tokens name: anybody can name any
RETRY_SECONDS: Final = 5.0  # after a failure; doubled each time, up to REFRESH_SECONDS
STEP_SECONDS: Final = 5.0  # for a connection, and for each part of an answer
FETCH_SECONDS: Final = 15.0  # for a whole fetch
_PART_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class KeySetSource:
    """A source says where a key set is fetched, and how. `context` is None for plain HTTP; `proxy_credentials`: user:password."""

    url: str
    context: ssl.SSLContext | None = None
    proxy_url: str | None = None
    proxy_credentials: bytes = b""
    off_limits: OffLimits | None = None


class FetchFailed(Exception):
    """A key set could not be fetched. The message says why."""


class KeySetWatch:
    """A key set watch feeds `tokens` with what `source` publishes. `clock` gives monotonic seconds."""

    def __init__(self, tokens: Tokens, source: KeySetSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._source = source
        self._clock = clock
        self._asked = asyncio.Event()
        self._document = b""
        self._task: asyncio.Task[None] | None = None
        self.problem = ""  # why the last fetch failed

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._fetch_forever())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def miss(self) -> None:
        """Hears of a token whose key is not there."""
        self._asked.set()

    async def _fetch_forever(self) -> None:
        pause = RETRY_SECONDS
        while True:
            began = self._clock()
            failed = await self._fetch()
            pause = min(2 * pause, REFRESH_SECONDS) if failed else RETRY_SECONDS
            await self._rest(began, pause if failed else REFRESH_SECONDS)

    async def _rest(self, began: float, seconds: float) -> None:
        """Waits for so long, or until a token names an unknown key, but never less than MISS_SECONDS for that."""
        self._asked.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, min(seconds, MISS_SECONDS) - (self._clock() - began)))

    async def _fetch(self) -> bool:
        """Fetches once. Returns whether that failed; what was there before then stays."""
        try:
            document = await asyncio.to_thread(fetch, self._source)
            if document != self._document or self._tokens.keys is None:
                self._tokens.take(KeySet.read(document))
                self._document = document
        except (FetchFailed, BadKeySet) as problem:
            why = str(problem)
            if why != self.problem:
                kept = "tokens are proved with the keys from before" if self._tokens.keys else "no token is believed"
                log.warning("Failed to fetch the keys of %s: %s; %s", self._source.url, why, kept)
            self.problem = why
            return True
        except Exception:
            log.exception("Failed to fetch the keys of %s", self._source.url)
            return True
        if self.problem:
            log.info("Fetched the keys of %s again", self._source.url)
        self.problem = ""
        return False


def fetch(source: KeySetSource) -> bytes:
    """Fetches the document; blocks. Redirects are not followed. Raises FetchFailed."""
    parts = urlsplit(source.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"accept": "application/json", "user-agent": "genset", "connection": "close"}
    connection = _connection(source, headers)
    deadline = time.monotonic() + FETCH_SECONDS
    try:
        connection.connect()
        _keep_inside(connection, source)
        connection.request("GET", source.url if source.proxy_url and source.context is None else path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise FetchFailed(f"it answered {answer.status}")
        document = b""
        while part := answer.read1(_PART_BYTES):
            document += part
            if len(document) > KEY_SET_BYTES:
                raise FetchFailed(f"the answer has more than {KEY_SET_BYTES} bytes")
            if time.monotonic() > deadline:
                raise FetchFailed(f"the answer took more than {FETCH_SECONDS:g} s")
        return document
    except (OSError, http.client.HTTPException) as problem:
        raise FetchFailed(str(problem) or type(problem).__name__) from problem
    finally:
        connection.close()


def _connection(source: KeySetSource, headers: dict[str, str]) -> http.client.HTTPConnection:
    """Returns a connection that is not made yet, by the proxy if there is one. `headers` get what a proxy wants to be told."""
    server = server_of(source.proxy_url or source.url)
    target = server_of(source.url)
    told = {}
    if source.proxy_url and source.proxy_credentials:
        told = {"proxy-authorization": f"Basic {b64encode(source.proxy_credentials.strip()).decode()}"}
    if source.context is None:
        headers.update(told)
        return http.client.HTTPConnection(server.host, server.port, timeout=STEP_SECONDS)
    secure = http.client.HTTPSConnection(server.host, server.port, timeout=STEP_SECONDS, context=source.context)
    if source.proxy_url:
        secure.set_tunnel(target.host, target.port, told)
    return secure


def _keep_inside(connection: http.client.HTTPConnection, source: KeySetSource) -> None:
    """Ends a connection to an address that no router may dial, whatever DNS has said; a proxy is the administrator's."""
    if source.off_limits is not None and not source.proxy_url:
        address = str(connection.sock.getpeername()[0])
        if source.off_limits.holds(address):
            raise FetchFailed("it is at an address that no router may dial")
