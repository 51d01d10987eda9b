"""Local answers need no backend: the list of models, who this is, and what is wrong with a request that no route takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, final

import orjson

from genset import __version__
from genset.router.dialects.anthropic.client import VERSION_HEADER
from genset.router.dialects.anthropic.client_models import model_of, models_page
from genset.router.dialects.clients import CLIENT_PATHS, dialect_of
from genset.router.dialects.openai.api import PATHS
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.http.codings import ACCEPTED
from genset.router.http.cors import is_preflight
from genset.router.http.downstream import ClientConnection
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.request import Request, asked
from genset.router.routing.catalogue import some_names
from genset.router.routing.unserved import what_is_wrong
from genset.router.shared import Shared, Unrouted

_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
_ABOUT: Final = (b"/", b"/v1", b"/v1/")
_HEALTH: Final = (b"/health", b"/healthz", b"/v1/health")
_READ: Final = (b"GET", b"HEAD")


@final
class LocalAnswer:
    """A local answer goes to one whole request that no backend is asked for. One of its methods is called, once."""

    __slots__ = ("_client", "_identity", "_request", "_shared")

    def __init__(self, shared: Shared, client: ClientConnection, request: Request, identity: bytes) -> None:
        self._shared = shared
        self._client = client
        self._request = request
        self._identity = identity

    def other(self, catalogue: Mapping[str, Any], why_not_ready: str) -> None:
        """Answers everything but the calls that take a model. `catalogue`: models by name, as the API tells of them."""
        request = self._request
        path = request.path
        models = path == b"/v1/models" or path.startswith(b"/v1/models/")
        if is_preflight(request.method, request.headers):
            self._preflight()
        elif models or path in _ABOUT[1:] or path in _HEALTH or (path == b"/" and request.method in _READ):
            if request.method not in _READ:
                shown = "/v1/models" if models else path.decode("latin-1")
                self.error(error("caller_method_not_allowed", f"use GET for {shown}"))
            elif models:
                self._models(catalogue)
            elif path in _HEALTH:
                self._health(why_not_ready)
            else:
                self._write(200, orjson.dumps(_about(request)))
        elif path in PATHS or path in CLIENT_PATHS:
            self.error(error("caller_method_not_allowed", f"use POST for {path.decode('latin-1')}"))
        else:
            self.error(error("caller_unknown_path", what_is_wrong(path.decode("latin-1"), base_url(request))))

    def error(self, answer: ErrorAnswer) -> None:
        """Answers with an error."""
        more, path = answer.headers(), self._request.path
        if answer.status == 405:
            more += b"allow: %b\r\n" % (b"POST" if path in PATHS or path in CLIENT_PATHS else b"GET")
        elif answer.status == 415:
            more += b"accept-encoding: %b\r\n" % ACCEPTED  # RFC 9110, 15.5.16
        status, body = answer.status, b""
        dialect = dialect_of(path, self._request.headers)
        if dialect is None:
            body = answer.body()
        else:
            status, body = dialect.error(answer, self._identity)
        self._write(status, self._shared.configured.mask.hide(body), more, answer)

    def left(self, answer: ErrorAnswer) -> None:
        """Tells that the client has gone without its answer, which would have been this error."""
        self._tell(VOCABULARY["caller_gone"].status, answer)

    def told(self, body: bytes) -> None:
        """Answers with what a dialect has written."""
        self._write(200, body)

    def _health(self, why_not: str) -> None:
        told = {"status": "unavailable", "reason": why_not} if why_not else {"status": "ok"}
        self._write(503 if why_not else 200, self._shared.configured.mask.hide(orjson.dumps(told)))

    def _models(self, known: Mapping[str, Any]) -> None:
        path, who = self._request.path, self._request.consumer
        if who is not None and who.models is not None:
            known = {name: known[name] for name in who.models.those_of(known)}
        anthropic = VERSION_HEADER in self._request.headers
        if path in (b"/v1/models", b"/v1/models/"):
            listed = models_page(known) if anthropic else {"object": "list", "data": list(known.values())}
            self._write(200, orjson.dumps(listed))
            return
        wanted = path.removeprefix(b"/v1/models/").decode("utf-8", "replace")
        if wanted in known:
            self._write(200, orjson.dumps(model_of(known[wanted]) if anthropic else known[wanted]))
            return
        told = f"no route names model {wanted[:128]!r}; models: {some_names(known)}"
        self.error(error("policy_model_not_found", told))

    def _preflight(self) -> None:
        """Answers a browser that asks whether a page may call."""
        cors, request = self._shared.configured.cors, self._request
        if cors is None:
            told = (
                "a web page asks to call this router (CORS), and the policy allows none: see router.cors.allowedOrigins"
            )
            self.error(error("caller_method_not_allowed", told))
            return
        self._tell(204, None)
        keep = request.keep_alive and not self._shared.draining
        self._client.write(
            b"HTTP/1.1 204 No Content\r\n%bx-request-id: %b\r\n%b\r\n"
            % (cors.preflight(request.headers), self._identity, b"" if keep else b"connection: close\r\n")
        )
        self._client.finish(keep, self._shared.now())

    def _tell(self, status: int, answer: ErrorAnswer | None) -> None:
        request = self._request
        shown = asked(request.method, request.path)
        who = request.consumer
        name, team = (who.name, who.team) if who is not None else ("", "")
        told = Unrouted(self._client.address, request.headers, self._identity, shown, status, answer, name, team)
        self._shared.observer.answered(told)

    def _write(self, status: int, body: bytes, more: bytes = b"", answer: ErrorAnswer | None = None) -> None:
        self._tell(status, answer)
        request, cors = self._request, self._shared.configured.cors
        keep = request.keep_alive and not self._shared.draining
        if cors is not None:
            more += cors.lines(request.headers)
        if dialect_of(request.path, request.headers) is not None:
            more += b"request-id: %b\r\n" % self._identity
        if not keep:
            more += b"connection: close\r\n"
        elif request.version_10:
            more += b"connection: keep-alive\r\n"
        self._client.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n%b"
            % (
                status,
                reason_phrase(status),
                len(body),
                b"%bx-request-id: %b\r\n" % (NOSNIFF, self._identity),
                more,
                b"" if request.method == b"HEAD" else body,
            )
        )
        self._client.finish(keep, self._shared.now())


def needs_no_key(request: Request) -> bool:
    """Returns whether a request is answered whoever asks: how the router is, and what browsers ask for a page."""
    return request.path in _HEALTH or is_preflight(request.method, request.headers)


def base_url(request: Request) -> str:
    """Returns the base URL that this client should have, as far as its own request tells how it came here."""
    host = request.headers.get(b"host", b"")
    shown = host.decode("ascii") if _HOST.fullmatch(host) else "HOST"
    secure = request.headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"
    return f"{'https' if secure else 'http'}://{shown}/v1"


def _about(request: Request) -> dict[str, Any]:
    paths = [f"POST {path.decode()}" for path in (*PATHS, *CLIENT_PATHS)] + ["GET /v1/models"]
    return {
        "object": "router",
        "name": "genset",
        "version": __version__,
        "api": "OpenAI",
        "base_url": base_url(request),
        "paths": paths,
    }
