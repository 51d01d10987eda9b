"""FakeApiServer is a fake API server over real HTTP, for tests of what the client does with its answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

Answer = Callable[[web.Request, int], web.StreamResponse | None]


class FakeApiServer:
    """Stores whole objects by path, with resourceVersions; `answer` may take over (request, number of the request)."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.answer: Answer = lambda *_: None
        self._versions = itertools.count(1)
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Configuration]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        configuration = Configuration()
        configuration.host = self.url
        configuration.client_session_kwargs = {"trust_env": False}
        try:
            yield configuration
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        made_up = self.answer(request, len(self.requests))
        if made_up is not None:
            return made_up
        body = json.loads(await request.text() or "null")
        if request.method == "GET":
            found = self.objects.get(request.path)
            return web.json_response(found) if found else refusal(404, "NotFound")
        if request.method == "POST":
            return self._store(f"{request.path}/{body['metadata']['name']}", body, create=True)
        return self._store(request.path, body, create=False)

    def _store(self, path: str, body: dict[str, Any], *, create: bool) -> web.Response:
        before = self.objects.get(path)
        if create and before:
            return refusal(409, "AlreadyExists")
        sent = body["metadata"].get("resourceVersion")
        if sent and before and sent != before["metadata"]["resourceVersion"]:
            return refusal(409, "Conflict")
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[path] = body
        return web.json_response(body, status=201 if create else 200)


def refusal(status: int, reason: str, message: str = "", **headers: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message or reason}
    return web.json_response(
        body, status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
