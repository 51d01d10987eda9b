"""A streaming reverse proxy: `python aiohttp_reverse_proxy.py PORT UPSTREAM_URL`. A peer of the benchmark."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}
SESSION = web.AppKey("session", ClientSession)
UPSTREAM = web.AppKey("upstream", str)


async def forward(request: web.Request) -> web.StreamResponse:
    """One request: headers and body on, status, headers and body back, streams as they arrive."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    url = request.app[UPSTREAM] + request.path_qs
    data = await request.read() if request.can_read_body else None
    async with request.app[SESSION].request(
        request.method, url, headers=headers, data=data, allow_redirects=False
    ) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        if answer.content_length is not None:
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for part in answer.content.iter_any():
            await response.write(part)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    """One pool of connections, as long as the program runs."""
    async with ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=None, sock_connect=5),
        auto_decompress=False,
    ) as app[SESSION]:
        yield


def main() -> None:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[UPSTREAM] = sys.argv[2]
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
