"""The server is the ledger's HTTP: routers send segments to it, people ask it. Decided in docs/adr/0019-ledger.md."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Row

from genset.addresses import ServerName
from genset.contracts import ledger as contract
from genset.ledger import reading
from genset.ledger.books import Books, Forbidden, Sending
from genset.ledger.database import Database, LedgerError, Unavailable
from genset.ledger.decoding import BadPiece, SegmentName
from genset.ledger.questions import BadQuestion, question, windows
from genset.ledger.tally import BookedCounts
from genset.ledger.writer import Writer
from genset.listening import listen

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 2  # that routers are told to wait if nothing can be booked
_KEEP_ALIVE_SECONDS: Final = 75.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A server belongs to one database. `key`: of tokens; it is read anew for each, so that it can be changed."""

    def __init__(self, database: Database, key_file: Path, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._key_file = key_file
        self._clock = clock
        self._books = Books(database, clock)
        self.writer = Writer(self._books)
        self._runners: list[web.AppRunner] = []
        self.port = 0
        self.metrics_port = 0

    @property
    def tally(self) -> BookedCounts:
        """Returns what this process has booked."""
        return self._books.tally

    async def start(self, host: str, port: int) -> None:
        """Listens, or raises OSError."""
        app = web.Application(client_max_size=contract.MOST_PIECE_BYTES, middlewares=[self._guarded])
        app.router.add_post(contract.SPOOLS_PATH + "/{incarnation}/{name}", self._take)
        app.router.add_get(contract.USAGE_PATH, self._usage)
        app.router.add_get(contract.EGRESS_PATH, self._egress)
        app.router.add_get(contract.REQUESTS_PATH + "/{id}", self._request)
        app.router.add_get(contract.BUDGETS_PATH, self._budgets)
        app.router.add_get("/healthz", self._healthy)
        app.router.add_get("/readyz", self._ready)
        self.writer.start()
        self.port = await self._listen(app, host, port)
        log.info("Listened on %s", ServerName(host, self.port).shown(with_port=True))

    async def start_metrics(self, host: str, port: int, render: Callable[[], bytes]) -> None:
        """Answers /metrics on a port of its own, which needs no token; or raises OSError."""

        async def answer(_: web.Request) -> web.Response:
            body = await asyncio.to_thread(render)
            return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

        app = web.Application()
        app.router.add_get("/metrics", answer)
        self.metrics_port = await self._listen(app, host, port)

    async def _listen(self, app: web.Application, host: str, port: int) -> int:
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=5.0, keepalive_timeout=_KEEP_ALIVE_SECONDS
        )
        await runner.setup()
        self._runners.append(runner)
        for listening in listen(host, port):
            await web.SockSite(runner, listening).start()
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Takes nothing more, and ends once what was taken is booked."""
        for runner in self._runners:
            await runner.cleanup()
        await self.writer.stop()

    # Who may

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Unavailable as problem:
            return _error(503, str(problem), {"Retry-After": str(RETRY_SECONDS)})
        except Forbidden as problem:
            return _error(403, str(problem))
        except (BadPiece, BadQuestion) as problem:
            return _error(400, str(problem))
        except LedgerError as problem:
            return _error(500, str(problem))

    async def _namespace(self, request: web.Request) -> str:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        found = None
        if scheme.lower() == "bearer":
            try:
                key = (await asyncio.to_thread(self._key_file.read_bytes)).strip()
            except OSError as problem:
                raise Unavailable(f"{self._key_file}: {problem.strerror}; put the ledger's key there") from problem
            found = contract.namespace_of(key, shown.strip()) if key else None
        if found is None:
            raise web.HTTPUnauthorized(
                text=json.dumps({contract.ERROR: "no token of this ledger: send Authorization: Bearer TOKEN"}),
                content_type="application/json",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found

    async def _reader(self, request: web.Request) -> None:
        if await self._namespace(request) != contract.READER:
            raise Forbidden(
                "this token may send, and not read: use that of readers, which `genset ledger token` prints"
            )

    # What is sent

    async def _take(self, request: web.Request) -> web.Response:
        namespace = await self._namespace(request)
        if namespace == contract.READER:
            raise Forbidden("this token may read, and not send")
        name = SegmentName.read(request.match_info["name"])
        if name.incarnation != request.match_info["incarnation"]:
            raise BadPiece(f"{name.file} is not of incarnation {request.match_info['incarnation']}")
        offset = request.query.get("offset", "0")
        if not offset.isdecimal() or len(offset) > 18:
            raise BadPiece(f"offset {offset[:40]!r} is no number of bytes")
        body = await request.read()
        taken = await self.writer.take(Sending(name, int(offset), body, namespace))
        return web.json_response({contract.HAVE: taken.have}, status=200 if taken.fits else 409)

    # What is asked

    async def _usage(self, request: web.Request) -> web.Response:
        await self._reader(request)
        asked = question(request.query)
        found = await asyncio.to_thread(reading.usage, self._database, asked)
        return web.json_response(found.told())

    async def _egress(self, request: web.Request) -> web.Response:
        """Answers what left the house as segments of its spools, one after the other."""
        await self._reader(request)
        query = request.query
        begin, end = (_number(query, name, default) for name, default in (("from", 0), ("to", 2**40)))
        after = _number(query, "after", 0)
        rows = await asyncio.to_thread(reading.egress, self._database, begin, end, after)
        more = {contract.AFTER: str(rows[-1].place)} if len(rows) == reading.MOST_LINES else {}
        return web.Response(body=reading.segments(rows), content_type="text/plain", headers=more)

    async def _budgets(self, request: web.Request) -> web.Response:
        """Answers routers of a namespace, and readers, what was spent of a policy's budgets."""
        namespace = await self._namespace(request)
        policy = request.query.get("policy", "")
        if namespace not in (contract.READER, policy.partition("/")[0]):
            raise Forbidden(f"the token is that of namespace {namespace}, and the policy is {policy[:80]}")
        asked = windows(policy, request.query.getall("window", []))
        found = await asyncio.to_thread(reading.budgets, self._database, asked)
        return web.json_response({contract.WINDOWS: found})

    async def _request(self, request: web.Request) -> web.Response:
        await self._reader(request)
        found = await asyncio.to_thread(reading.request, self._database, request.match_info["id"])
        told = {kind: [_told(row) for row in rows] for kind, rows in found.items()}
        return web.json_response(told, status=200 if any(found.values()) else 404)

    # How it is

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        """Says whether anything can be booked. A full disk is told here, and goes on being tried by whoever sends."""
        failing = self.writer.failing
        return web.Response(text=f"{failing or 'ok'}\n", status=503 if failing else 200)


def _told(row: Row[Any]) -> dict[str, Any]:
    """Returns a line with what stands in the first one of its segment: whose it is."""
    told: dict[str, Any] = json.loads(bytes(row.body))
    return {**told, "policy": row.policy, "router": row.router, "incarnation": row.incarnation}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    given = query.get(name, str(default))
    if not given.isdecimal() or len(given) > 15:
        raise BadQuestion(f"{name} {given[:40]!r} is no number")
    return int(given)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({contract.ERROR: message}, status=status, headers=headers)
