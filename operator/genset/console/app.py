"""The HTTP shell: who has signed in gets pages; streams tell pages that there is news; files are served as they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from genset.console import guards
from genset.console.oidc import VISIT_SECONDS, IdentityProvider, SignInFailed
from genset.console.pages import Handler, Pages
from genset.console.reviews import NoAnswer, Person, Reviews
from genset.console.shown import STATIC, STATIC_PATH, Shown
from genset.console.visits import ConsoleVisit, Visits, seconds_left
from genset.console.watchtower import Watchtower

log = logging.getLogger(__name__)

FORM_BYTES: Final = 64 * 1024
TOKEN_CHARACTERS: Final = 32 * 1024
STREAMS: Final = 12  # of one visit: a stream for each open page
TICK_SECONDS: Final = 1.0  # at least, between two pieces of news
BEAT_SECONDS: Final = 5.0  # a page that hears nothing for three of these says that it is not live
REFRESH: Final = "x-console-refresh"  # of requests that a page makes by itself


class Console:
    """The console's application. `app` is what a server of ASGI runs."""

    def __init__(
        self,
        tower: Watchtower,
        reviews: Reviews,
        visits: Visits,
        provider: IdentityProvider | None = None,
    ) -> None:
        self._tower = tower
        self._reviews = reviews
        self._visits = visits
        self._provider = provider
        self._shown = Shown()
        self._trials = guards.SignInTrials()
        pages = Pages(tower, reviews, self._shown)
        routes = [
            *(Route(path, self._signed_in(handler), methods=["GET"]) for path, handler in pages.handlers().items()),
            Route("/", self._home, methods=["GET"]),
            Route("/news", self._signed_in(self._news), methods=["GET"]),
            Route("/sign-in", self._sign_in_page, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-in/provider", self._to_provider, methods=["GET"]),
            Route("/sign-in/back", self._from_provider, methods=["GET"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route(STATIC_PATH + "/{digest}/{name}", self._file, methods=["GET"]),
            Route("/healthz", self._healthy, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
        ]
        inner = Starlette(routes=routes, exception_handlers={HTTPException: self._refused, NoAnswer: self._unanswered})
        self.app = guards.Hardened(inner)

    def _signed_in(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            by_itself = REFRESH in request.headers or request.url.path == "/news"
            visit = self._visit(request, uses=not by_itself)
            if visit is None:
                if by_itself or request.url.path.endswith((".json", ".csv")):
                    return PlainTextResponse("sign in\n", 401)
                return RedirectResponse(f"/sign-in?{urlencode({'to': _asked(request)})}", 303)
            return await handler(request, visit)

        return endpoint

    def _visit(self, request: Request, *, uses: bool) -> ConsoleVisit | None:
        cookie = request.cookies.get(guards.cookie_name(request.headers))
        return self._visits.find(cookie, uses=uses) if cookie else None

    async def _home(self, request: Request) -> Response:
        return RedirectResponse("/fleet", 303)

    # Signing in and out

    async def _sign_in_page(self, request: Request) -> Response:
        if self._visit(request, uses=True) is not None:
            return RedirectResponse(_inside(request.query_params.get("to", "")), 303)
        return self._form(request, request.query_params.get("to", ""))

    def _form(self, request: Request, to: str, problem: str = "", status: int = 200) -> Response:
        provider = self._provider.name if self._provider is not None else ""
        return self._shown.plain(request, "sign_in.html", status, to=_inside(to), problem=problem, provider=provider)

    async def _sign_in(self, request: Request) -> Response:
        form = await _form_of(request)
        token, to = "".join(form.get("token", "").split()), form.get("to", "")
        if not guards.is_ours(request):
            return self._form(
                request, to, "The form was sent by another site, or by an old browser. Try again here.", 403
            )
        if not token or len(token) > TOKEN_CHARACTERS:
            return self._form(request, to, "Paste a token.", 400)
        if not self._trials.take():
            return self._form(request, to, "Too many trials. Wait a minute, and try again.", 429)
        try:
            person = await self._reviews.who(token)
        except NoAnswer as problem:
            log.warning("Nobody can sign in: %s", problem)
            return self._form(request, to, "The API server does not answer. Try again in a moment.", 503)
        if person is None:
            return self._form(
                request, to, "The cluster does not know this token, or it has expired. Make another one.", 401
            )
        return self._begun(request, person, token, seconds_left(token, time.time()), to)

    def _begun(self, request: Request, person: Person, token: str, seconds: float | None, to: str) -> Response:
        log.info("%s has signed in", person.name)
        answer = RedirectResponse(_inside(to), 303)
        cookie = self._visits.begin(person, token, seconds)
        self._keep(request, answer, guards.cookie_name(request.headers), cookie)
        return answer

    @staticmethod
    def _keep(request: Request, answer: Response, name: str, value: str) -> None:
        secure = not guards.is_local(request.headers)
        answer.set_cookie(name, value, path="/", httponly=True, samesite="lax", secure=secure)

    async def _to_provider(self, request: Request) -> Response:
        to = request.query_params.get("to", "")
        if self._provider is None:
            raise HTTPException(404)
        if not self._trials.take():
            return self._form(request, to, "Too many trials. Wait a minute, and try again.", 429)
        try:
            address, kept = await self._provider.begin(_inside(to))
        except SignInFailed as problem:
            return self._form(request, to, str(problem), 503)
        answer = RedirectResponse(address, 303)
        self._keep(request, answer, f"{guards.cookie_name(request.headers)}-begun", kept)
        return answer

    async def _from_provider(self, request: Request) -> Response:
        if self._provider is None:
            raise HTTPException(404)
        kept = request.cookies.get(f"{guards.cookie_name(request.headers)}-begun", "")
        try:
            person, to = await self._provider.end(request.query_params, kept)
        except SignInFailed as problem:
            return self._form(request, "", str(problem), 401)
        return self._begun(request, person, "", VISIT_SECONDS, to)

    async def _sign_out(self, request: Request) -> Response:
        name = guards.cookie_name(request.headers)
        if not guards.is_ours(request):
            raise HTTPException(403)
        self._visits.end(request.cookies.get(name, ""))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=not guards.is_local(request.headers))
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    # What pages load

    async def _news(self, request: Request, visit: ConsoleVisit) -> Response:
        if visit.streams >= STREAMS:
            raise HTTPException(429)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(visit), media_type="text/event-stream", headers=headers)

    async def _events(self, visit: ConsoleVisit) -> AsyncIterator[bytes]:
        """Yields an event when there is news, a beat when there is none, and the end of the visit."""
        visit.streams += 1
        try:
            version = self._tower.version
            yield b"retry: 2000\n\nevent: beat\ndata: 0\n\n"
            while not visit.over.is_set():
                began = time.monotonic()
                latest = await self._tower.news(version, BEAT_SECONDS)
                kind = b"news" if latest != version else b"beat"
                version = latest
                yield b"event: %b\ndata: %d\n\n" % (kind, version)
                await _over_or(visit, TICK_SECONDS - (time.monotonic() - began))
            yield b"event: over\ndata: 0\n\n"
        finally:
            visit.streams -= 1

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        body = self._shown.file(request.path_params["digest"], name)
        if body is None:
            raise HTTPException(404)
        return Response(body, media_type=STATIC[name], headers={"Cache-Control": "public, max-age=31536000, immutable"})

    # How it is

    async def _healthy(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, _: Request) -> Response:
        """Says whether there is anything to show. Once there is, an API server that goes away is told on the pages instead."""
        return PlainTextResponse(f"{self._tower.unready or 'ok'}\n", 503 if self._tower.unready else 200)

    async def _refused(self, request: Request, problem: Exception) -> Response:
        status = problem.status_code if isinstance(problem, HTTPException) else 500
        words = problem.detail if isinstance(problem, HTTPException) and status == 503 else ""
        visit = self._visit(request, uses=False)
        return self._shown.plain(request, "refused.html", status, words=words, known=visit is not None)

    async def _unanswered(self, request: Request, problem: Exception) -> Response:
        log.warning("What somebody may see is not known: %s", problem)
        words = "The API server does not say what you may see. This page tries again when you load it."
        return self._shown.plain(request, "refused.html", 503, words=words, known=True)


async def _over_or(visit: ConsoleVisit, seconds: float) -> None:
    """Waits so long, or until the visit is over."""
    try:
        await asyncio.wait_for(visit.over.wait(), max(0.0, seconds))
    except TimeoutError:
        pass


async def _form_of(request: Request) -> dict[str, str]:
    """Returns a form's fields. Raises HTTPException if it is too large, or none."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            raise HTTPException(413)
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=8).items()}
    except ValueError as problem:
        raise HTTPException(400) from problem


def _asked(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _inside(to: str) -> str:
    """Returns where to go after signing in: a page of ours, whatever was asked for."""
    plain = to.startswith("/") and not to.startswith(("//", "/\\", "/sign-")) and all(32 < ord(one) < 127 for one in to)
    return to if plain and "\\" not in to else "/fleet"
