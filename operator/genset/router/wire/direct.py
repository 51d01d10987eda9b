"""Answers that need no backend: the list of models, and what is wrong with a request that never becomes an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from genset.router.errors import ErrorAnswer, error
from genset.router.evidence import NOSNIFF, reason_phrase
from genset.router.wire.payload import PATHS

if TYPE_CHECKING:
    from genset.router.server import Router
    from genset.router.wire.downstream import ClientConnection
    from genset.router.wire.request import Request


def answer_other(router: Router, client: ClientConnection, request: Request, path: bytes, identity: bytes) -> None:
    """Everything but the calls that take a model."""
    if path == b"/v1/models" or path.startswith(b"/v1/models/"):
        if request.method not in (b"GET", b"HEAD"):
            answer_error(
                router, client, request, identity, error("caller_method_not_allowed", "use GET for /v1/models")
            )
            return
        models = [_model(name) for name in router.table.models] if router.table else []
        if path == b"/v1/models":
            _write(router, client, request, identity, 200, orjson.dumps({"object": "list", "data": models}))
            return
        wanted = path.removeprefix(b"/v1/models/").decode("utf-8", "replace")
        for model in models:
            if model["id"] == wanted:
                _write(router, client, request, identity, 200, orjson.dumps(model))
                return
        answer = error("policy_model_not_found", f"no route names model {wanted[:128]!r}")
        answer_error(router, client, request, identity, answer)
    elif path in PATHS:
        shown = path.decode("latin-1")
        answer_error(router, client, request, identity, error("caller_method_not_allowed", f"use POST for {shown}"))
    else:
        offered = ", ".join(sorted(p.decode() for p in PATHS))
        answer = error("caller_unknown_path", f"this path is not served; there are {offered}, /v1/models")
        answer_error(router, client, request, identity, answer)


def answer_error(
    router: Router, client: ClientConnection, request: Request, identity: bytes, answer: ErrorAnswer
) -> None:
    router.metrics.answers[("", answer.status, answer.kind.word)] += 1
    more = answer.headers()
    if answer.status == 405:
        more += b"allow: %b\r\n" % (b"GET" if request.path.startswith(b"/v1/models") else b"POST")
    _write(router, client, request, identity, answer.status, answer.body(), more)


def _write(
    router: Router,
    client: ClientConnection,
    request: Request,
    identity: bytes,
    status: int,
    body: bytes,
    more: bytes = b"",
) -> None:
    keep = request.keep_alive and not router.draining
    if not keep:
        more += b"connection: close\r\n"
    elif request.version_10:
        more += b"connection: keep-alive\r\n"
    client.write(
        b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n%b"
        % (
            status,
            reason_phrase(status),
            len(body),
            b"%bx-request-id: %b\r\n" % (NOSNIFF, identity),
            more,
            b"" if request.method == b"HEAD" else body,
        )
    )
    client.finish(keep)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "genset"}
