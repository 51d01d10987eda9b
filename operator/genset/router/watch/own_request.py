"""Requests of the router's own to a backend: not a byte of any client is in them, so what they meet is beyond doubt.

A probe asks for a health path or the list of models. A verification asks for the least answer that there is: one token,
on the path that a suspicion is about.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson

from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.target import Target
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.exchange.payload import body_for
from genset.router.http.connect import Connector
from genset.router.http.upstream import Listener, UpstreamConnection
from genset.router.machine.added_fields import refused_for
from genset.router.machine.classify import ERROR_BODY_BYTES

APIS: Final = {api.path: api for api in PATHS.values()}
_LEAST: Final[dict[str, dict[str, Any]]] = {
    Api.CHAT.path: {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    Api.COMPLETIONS.path: {"prompt": "ping", "max_tokens": 1},
    Api.EMBEDDINGS.path: {"input": "ping"},
}


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What a server said to the router itself; of the body at most as much as is read of an error."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def get(connector: Connector, target: Target, endpoint: Endpoint, path: str) -> OwnAnswer:
    """Asks for a path, absolute on the host. Raises ConnectFailed or OSError if there is no answer."""
    return await _ask(connector, target, endpoint, b"GET", path, b"")


async def least_answer(connector: Connector, backend: Backend, endpoint: Endpoint, path: str) -> OwnAnswer:
    """Asks for the least answer on a path of the API (`/chat/completions`). Raises ConnectFailed or OSError."""
    api = APIS[path]
    request = {"model": backend.target.model, **_LEAST[path]}
    refused = refused_for(request, backend.learned.refused_fields)
    body = body_for(backend.target, api, request, orjson.dumps(request), False, refused)
    return await _ask(connector, backend.target, endpoint, b"POST", backend.target.base_path + path, body)


async def _ask(
    connector: Connector, target: Target, endpoint: Endpoint, method: bytes, path: str, body: bytes
) -> OwnAnswer:
    """On a connection of its own: a probe also tells whether one can be made."""
    connection: UpstreamConnection = await connector.open(target, endpoint)
    try:
        reply = _Reply()
        lines = (
            b"host: %b\r\nuser-agent: genset\r\naccept-encoding: identity\r\nconnection: close\r\n"
            % endpoint.name.encode()
        )
        lines += target.key_line
        if body:
            lines += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        request = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path.encode(), lines, body)
        connection.begin(reply, request, connector.outbox)
        return await reply.answer
    finally:
        connection.drop()


class _Reply(Listener):
    """A listener that puts the whole answer together."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[OwnAnswer] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status = status
        self._headers = headers

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > ERROR_BODY_BYTES:
            self._done()

    def on_end(self, verified: bool) -> None:
        self._done()

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        if self._status:
            self._done()
        elif not self.answer.done():
            self.answer.set_exception(ConnectionError(detail))

    def _done(self) -> None:
        if not self.answer.done():
            self.answer.set_result(OwnAnswer(self._status, self._headers, self._body[:ERROR_BODY_BYTES]))
