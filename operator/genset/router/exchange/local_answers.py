"""Answers that need no backend: the list of models, who this is, and what is wrong with a request that never becomes an
exchange."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from genset import __version__
from genset.router.dialects.openai.api import PATHS
from genset.router.errors import ErrorAnswer, error
from genset.router.http.codings import ACCEPTED
from genset.router.http.cors import is_preflight
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.request import asked
from genset.router.routing.catalogue import some_names
from genset.router.routing.unserved import what_is_wrong

if TYPE_CHECKING:
    from genset.router.http.downstream import ClientConnection
    from genset.router.http.request import Request
    from genset.router.process.server import Router

_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
_ABOUT: Final = (b"/", b"/v1", b"/v1/")
_HEALTH: Final = (b"/health", b"/healthz", b"/v1/health")
_READ: Final = (b"GET", b"HEAD")


def answer_other(router: Router, client: ClientConnection, request: Request, path: bytes, identity: bytes) -> None:
    """Everything but the calls that take a model."""
    models = path == b"/v1/models" or path.startswith(b"/v1/models/")
    if is_preflight(request.method, request.headers):
        _preflight(router, client, request, identity)
    elif models or path in _ABOUT[1:] or path in _HEALTH or (path == b"/" and request.method in _READ):
        if request.method not in _READ:
            shown = path.decode("latin-1")
            answer = error("caller_method_not_allowed", f"use GET for {'/v1/models' if models else shown}")
            answer_error(router, client, request, identity, answer)
        elif models:
            _models(router, client, request, path, identity)
        elif path in _HEALTH:
            _health(router, client, request, identity)
        else:
            _write(router, client, request, identity, 200, orjson.dumps(_about(request)))
    elif path in PATHS:
        shown = path.decode("latin-1")
        answer_error(router, client, request, identity, error("caller_method_not_allowed", f"use POST for {shown}"))
    else:
        wrong = what_is_wrong(path.decode("latin-1"), base_url(request))
        answer_error(router, client, request, identity, error("caller_unknown_path", wrong))


def answer_error(
    router: Router, client: ClientConnection, request: Request, identity: bytes, answer: ErrorAnswer
) -> None:
    router.metrics.answered("", answer.status, answer.kind.word)
    more = answer.headers()
    if answer.status == 405:
        more += b"allow: %b\r\n" % (b"POST" if request.path.partition(b"?")[0] in PATHS else b"GET")
    elif answer.status == 415:
        more += b"accept-encoding: %b\r\n" % ACCEPTED  # RFC 9110, 15.5.16
    body = router.mask.hide(answer.body())
    _write(router, client, request, identity, answer.status, body, more, answer)


def base_url(request: Request) -> str:
    """The base URL that this client should have, as far as its own request tells how it came here."""
    host = request.headers.get(b"host", b"")
    shown = host.decode("ascii") if _HOST.fullmatch(host) else "HOST"
    secure = request.headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"
    return f"{'https' if secure else 'http'}://{shown}/v1"


def _about(request: Request) -> dict[str, Any]:
    paths = [f"POST {path.decode()}" for path in PATHS] + ["GET /v1/models"]
    return {
        "object": "router",
        "name": "genset",
        "version": __version__,
        "api": "OpenAI",
        "base_url": base_url(request),
        "paths": paths,
    }


def _health(router: Router, client: ClientConnection, request: Request, identity: bytes) -> None:
    why_not = router.why_not_ready()
    status = 503 if why_not else 200
    told = {"status": "unavailable", "reason": why_not} if why_not else {"status": "ok"}
    _write(router, client, request, identity, status, router.mask.hide(orjson.dumps(told)))


def _models(router: Router, client: ClientConnection, request: Request, path: bytes, identity: bytes) -> None:
    known = router.table.catalogue if router.table else {}
    if path in (b"/v1/models", b"/v1/models/"):
        body = orjson.dumps({"object": "list", "data": list(known.values())})
        _write(router, client, request, identity, 200, body)
        return
    wanted = path.removeprefix(b"/v1/models/").decode("utf-8", "replace")
    if wanted in known:
        _write(router, client, request, identity, 200, orjson.dumps(known[wanted]))
        return
    told = f"no route names model {wanted[:128]!r}; models: {some_names(known)}"
    answer_error(router, client, request, identity, error("policy_model_not_found", told))


def _preflight(router: Router, client: ClientConnection, request: Request, identity: bytes) -> None:
    """A browser asks whether a page may call."""
    if router.cors is None:
        told = "a web page asks to call this router (CORS), and the policy allows none: see router.cors.allowedOrigins"
        answer_error(router, client, request, identity, error("caller_method_not_allowed", told))
        return
    router.journal.told(client.address, request.headers, identity, asked(request.method, request.path), 204)
    keep = request.keep_alive and not router.draining
    client.write(
        b"HTTP/1.1 204 No Content\r\n%bx-request-id: %b\r\n%b\r\n"
        % (router.cors.preflight(request.headers), identity, b"" if keep else b"connection: close\r\n")
    )
    client.finish(keep, router.now())


def _write(
    router: Router,
    client: ClientConnection,
    request: Request,
    identity: bytes,
    status: int,
    body: bytes,
    more: bytes = b"",
    answer: ErrorAnswer | None = None,
) -> None:
    router.journal.told(client.address, request.headers, identity, asked(request.method, request.path), status, answer)
    keep = request.keep_alive and not router.draining
    if router.cors is not None:
        more += router.cors.lines(request.headers)
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
    client.finish(keep, router.now())
