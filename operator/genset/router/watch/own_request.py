"""The router's own requests to a backend hold not a byte of any client, so what they meet is beyond doubt.

A probe asks for a health path or the list of models. A verification asks for the smallest answer there is: one token,
on the path that a suspicion is about.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Breaker
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.identity import NoTokenError
from genset.router.backends.target import Target
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.exchange.payload import body_for, form_for
from genset.router.http.connect import ConnectFailed, Connector
from genset.router.http.upstream import Listener, UpstreamConnection
from genset.router.machine.added_fields import refused_for
from genset.router.machine.classify import ERROR_BODY_BYTES

_FORM: Final = b"application/x-www-form-urlencoded"
APIS: Final = {api.path: api for api in PATHS.values()}
LEAST: Final[dict[str, dict[str, Any]]] = {
    Api.CHAT.path: {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    Api.COMPLETIONS.path: {"prompt": "ping", "max_tokens": 1},
    Api.EMBEDDINGS.path: {"input": "ping"},
    Api.RERANK.path: {"query": "ping", "documents": ["ping"]},
    Api.SCORE.path: {"text_1": "ping", "text_2": "ping"},
    Api.MODERATIONS.path: {"input": "ping"},
}


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """An own answer is what a server said to the router itself. `body` is cut to as much as is read of an error."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def get(connector: Connector, target: Target, endpoint: Endpoint, path: str) -> OwnAnswer:
    """Asks for a path, absolute on the host. Raises ConnectFailed or OSError if there is no answer."""
    return await _ask(connector, target, endpoint, b"GET", path, b"", target.provider.probe_headers)


async def least_answer(connector: Connector, backend: Backend, endpoint: Endpoint, path: str) -> OwnAnswer:
    """Asks for the smallest answer on a path of the API (`/chat/completions`).

    Raises ConnectFailed or OSError; Untranslatable if the backend's dialect does not have this path.
    """
    api = APIS[path]
    request = {"model": backend.target.model, **LEAST[path]}
    refused = refused_for(request, backend.learned.refused_fields)
    target, dialect = backend.target, backend.target.dialect
    if target.shape is not None:
        request, _ = target.shape.of(request, endpoint.loaded)
    if dialect is None:
        body = body_for(target, api, request, orjson.dumps(request), False, refused)
        return await _ask(connector, target, endpoint, b"POST", target.base_path + path + target.query, body)
    asked = dialect.request(api, form_for(target, api, request, False, refused))
    answer = await _ask(
        connector, target, endpoint, b"POST", target.base_path + asked.path + target.query, asked.body, asked.headers
    )
    if answer.status >= 400:
        return replace(answer, body=dialect.error(answer.status, answer.body))
    try:
        return replace(answer, body=dialect.answer(api, answer.body, 0))
    except ValueError:
        return answer  # whoever looks at it finds no answer there


async def post_form(connector: Connector, target: Target, form: bytes) -> OwnAnswer:
    """Sends a form to the path of a target. Raises ConnectFailed or OSError if there is no answer."""
    endpoint = Endpoint(target.host, target.port, Breaker(lambda: 0.5))
    return await _ask(connector, target, endpoint, b"POST", target.base_path, form, kind=_FORM)


async def _ask(
    connector: Connector,
    target: Target,
    endpoint: Endpoint,
    method: bytes,
    path: str,
    body: bytes,
    more: bytes = b"",
    kind: bytes = b"application/json",
) -> OwnAnswer:
    """Asks on a new connection, so that a probe also shows whether one can be made."""
    connection: UpstreamConnection = await connector.open(target, endpoint)
    try:
        reply = _OwnReply()
        lines = (
            b"host: %b\r\nuser-agent: genset\r\naccept-encoding: identity\r\nconnection: close\r\n"
            % endpoint.name.encode()
        )
        if target.identity is not None:
            try:
                more += target.identity.line()
            except NoTokenError as problem:
                raise ConnectFailed(str(problem)) from problem
        lines += target.own_lines + more
        if body:
            lines += b"content-type: %b\r\ncontent-length: %d\r\n" % (kind, len(body))
        request = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path.encode(), lines, body)
        connection.begin(reply, request, connector.outbox)
        return await reply.answer
    finally:
        connection.drop()


class _OwnReply(Listener):
    """An own reply listens to the connection of one request, and sets `answer` when it has ended."""

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
