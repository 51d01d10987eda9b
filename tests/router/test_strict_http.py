"""What is no request of HTTP/1.1, or two in one: refused before anything behind it is read as a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testbed.router import RunningRouter, config, house
from testbed.upstream import client
from testbed.upstream.client import HttpConnection, chat, statuses
from testbed.upstream.scripted import ScriptedUpstream

BODY = json.dumps(chat(stream=False)).encode()
GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


def post(*headers: bytes, target: bytes = b"/v1/chat/completions", version: bytes = b"HTTP/1.1") -> bytes:
    lines = b"".join(line + b"\r\n" for line in (b"content-length: %d" % len(BODY), *headers))
    return b"POST %b %b\r\n%b\r\n%b" % (target, version, lines, BODY)


@pytest.fixture
async def local() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def router(tmp_path: Path, local: ScriptedUpstream) -> AsyncIterator[RunningRouter]:
    models = ["counting", "org/name", "ä b"]
    routes = [
        {
            "name": "gold",
            "match": {"models": models, "headers": [{"name": "x-team", "value": "gold"}]},
            "tiers": [[{"backend": "house"}]],
        },
        {"name": "all", "match": {"models": models}, "tiers": [[{"backend": "house"}]]},
    ]
    async with RunningRouter(tmp_path, config(house(local.base_url), routes=routes)) as running:
        yield running


async def raw(router: RunningRouter, data: bytes, within: float = 0.5) -> bytes:
    return await client.raw("127.0.0.1", router.router.listen_port, data, within)


def chunked(*codings: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    lines = b"".join(b"transfer-encoding: %b\r\n" % coding for coding in codings)
    return b"POST /v1/chat/completions %b\r\nhost: x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (version, lines, len(BODY), BODY)


REFUSED = [
    (b"CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\ncontent-length: %d\r\n\r\n" % len(GET), 405),
    (b"CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n", 405),
    (b"CONNECT /v1/models HTTP/1.0\r\n\r\n", 405),
    (b"TRACE / HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    (b"PROPFIND / HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    (b"GET /v1/models\r\n\r\n", 400),
    (b"GET /v1/models HTTP/0.9\r\n\r\n", 400),
    (b"GET /v1/models HTTP/2.0\r\nhost: x\r\n\r\n", 400),
    (b"GET /v1/models HTTP/2.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"GET /v1/models HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    (b"GET /v1/models HTTP/1.1\r\n\r\n", 400),
    (post(), 400),
    (post(b"host: x", b"host: x"), 400),
    (post(b"host: x", b"Host: y"), 400),
    (post(b"host: a b"), 400),
    (post(b"host: a/b"), 400),
    (post(b"host: x", b"authorization: Bearer a", b"Authorization: Bearer b"), 400),
    (post(b"host: x", b"x-genset-timeout: 5", b"x-genset-timeout: 6"), 400),
    (post(b"host: x", b"x-team: gold", b"x-team: silver"), 400),
    (post(b"host: x", b"content-length: 5"), 400),
    (post(b"host: x", b"transfer-encoding: chunked"), 400),
    (post(b"host: x", target=b"/v1/chat/completions%"), 400),
    (post(b"host: x", target=b"/v1/chat/%00"), 400),
    (chunked(b"gzip"), 501),
    (chunked(b"gzip, chunked"), 501),
    (chunked(b"x-gzip, chunked"), 501),
    (chunked(b"gzip", b"chunked"), 501),
    (chunked(b"identity"), 501),
    (chunked(b"identity, chunked"), 501),
    (chunked(b"xchunked"), 501),
    (chunked(b'"chunked"'), 501),
    (chunked(b"chunked;q=1"), 501),
    (chunked(b"chunked, chunked"), 400),
    (chunked(b"chunked", b"chunked"), 400),
    (chunked(b"chunked, gzip"), 400),
    (chunked(b"chunked", b"gzip"), 400),
    (chunked(b"chunked", version=b"HTTP/1.0"), 400),
    (chunked(b"gzip, chunked", version=b"HTTP/1.0"), 400),
]


@pytest.mark.parametrize(("data", "status"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
@pytest.mark.parametrize("behind", [b"", GET], ids=["first", "pipelined"])
async def test_what_is_refused_ends_the_connection(
    router: RunningRouter, local: ScriptedUpstream, data: bytes, status: int, behind: bytes
) -> None:
    """Nothing that follows is taken for a request."""
    got = await raw(router, behind + data + GET + post(b"host: x"))
    assert statuses(got) == [*([200] if behind else []), status], got
    assert b"connection: close" in got
    assert local.requests == []


@pytest.mark.parametrize(
    "data",
    [
        post(b"host: x"),
        post(b"host:"),
        post(b"host: [::1]:8080"),
        post(version=b"HTTP/1.0"),
        post(b"host: x", b"authorization: Bearer a", b"authorization: Bearer a"),
        post(b"host: x", b"accept: a", b"accept: b", b"x-other: 1", b"x-other: 2"),
        post(b"host: other", target=b"http://host/v1/chat/completions"),
        post(b"host: x", target=b"HTTPS://host:8443/v1/chat/completions?x=y"),
        post(b"host: x", target=b"/v1/chat%2Fcompletions"),
        post(b"host: x", target=b"/v1/ch%61t/completions?api-version=1"),
        chunked(b"chunked"),
        chunked(b"\tChunked "),
    ],
)
async def test_what_is_served(router: RunningRouter, data: bytes) -> None:
    assert statuses(await raw(router, data)) == [200]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/org%2Fname", 200),
        ("/v1/models/org/name", 200),
        ("/v1/models/%C3%A4%20b", 200),
        ("/v1/models/org%252Fname", 404),
        ("/v1/x/%2e%2e/models", 404),
        ("/v1/models/%2e%2e/models", 404),
    ],
)
async def test_escapes_in_paths(router: RunningRouter, path: str, status: int) -> None:
    assert (await client.request(router.url + path)).status == status


async def test_an_escaped_path_is_that_path_in_every_request(router: RunningRouter, local: ScriptedUpstream) -> None:
    connection = await HttpConnection.open(router.url)
    for path in ("/v1/chat/completions", "/v1/ch%61t/completions", "/v1/ch%61t/completions", "/v1/ch%61t/completions"):
        assert (await (await connection.start(path, chat(stream=False))).whole()).status == 200
    connection.close()
    assert {received.path for received in local.requests} == {"/v1/chat/completions"}


async def test_thousands_of_small_requests_are_no_large_head(router: RunningRouter) -> None:
    """A read that begins inside a head and holds many others."""
    count = 20_000
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    writer.write(GET[:11])
    await asyncio.sleep(0.05)
    writer.write(GET[11:] + GET * (count - 1))
    got = 0
    async with asyncio.timeout(60):
        while got < count:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), f"{head!r} after {got}"
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            got += 1
    writer.close()


async def test_thousands_of_small_requests_keep_nobody_waiting(router: RunningRouter) -> None:
    loop = asyncio.get_running_loop()
    crowd = [await asyncio.open_connection("127.0.0.1", router.router.listen_port) for _ in range(5)]
    tasks = []
    for reader, writer in crowd:
        writer.write(GET * 20_000)
        tasks.append(asyncio.ensure_future(reader.read()))
    times = []
    for _ in range(20):
        began = loop.time()
        assert (await router.ask(chat(stream=False))).status == 200
        times.append(loop.time() - began)
    assert sorted(times)[10] < 0.1, times
    for task in tasks:
        task.cancel()
    for _, writer in crowd:
        writer.close()


@pytest.mark.parametrize("size", [70_000, 200_000])
async def test_a_head_that_is_too_large_is_refused_though_it_came_at_once(router: RunningRouter, size: int) -> None:
    got = await raw(router, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * (size // 6) + b"\r\n", within=2)
    assert statuses(got) == [431]


@pytest.mark.parametrize("tail", [b"x: ", b""], ids=["trailer", "extension"])
async def test_what_comes_with_a_body_and_is_none_has_a_bound(router: RunningRouter, tail: bytes) -> None:
    start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    writer.write(start + (b"0\r\n" + tail if tail else b"1;"))
    await asyncio.sleep(0.05)
    for _ in range(400):
        writer.write(b"y" * 1000)
        await asyncio.sleep(0)
    assert statuses(await asyncio.wait_for(reader.read(4096), 5)) == [431]
    writer.close()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"model":"counting","messages":[],"model":"none"}', "'model' more than once"),
        (b'{"model":"none","messages":[],"m\\u006fdel":"counting"}', "'model' more than once"),
        (b'{"model":"counting","messages":[],"Model":"none"}', "'model' and 'Model'"),
        (b'{"model":"counting","messages":[' + b"[" * 300 + b"]" * 300 + b"]}", "nested too deeply"),
    ],
)
async def test_a_body_that_says_two_things_is_refused(
    router: RunningRouter, local: ScriptedUpstream, body: bytes, named: str
) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    got = await raw(router, head + body)
    assert statuses(got) == [400]
    error = json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["type"] == "caller_bad_request" and named in error["message"]
    assert local.requests == []


async def test_an_unchanged_body_is_sent_byte_for_byte(tmp_path: Path, local: ScriptedUpstream) -> None:
    body = b'{ "messages" :[{"content":"\\u0041: b"}],\n"model":"small", "stream": false, "n": 1.0e0, "X-Y": [] } '
    routes = [{"name": "r", "match": {}, "tiers": [[{"backend": "house"}]], "failover": {"rebuildAnswers": False}}]
    async with RunningRouter(tmp_path, config(house(local.base_url), routes=routes)) as router:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        assert statuses(await raw(router, head + body)) == [200]
    assert local.requests[0].body == body
