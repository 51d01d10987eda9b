"""What clients may send: HTTP/1.0 and 1.1, pipelining, chunked bodies, 100-continue, limits, and what is no HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat, statuses
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

BODY = json.dumps(chat(stream=False)).encode()
STREAM = json.dumps(chat()).encode()


def post(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = b"".join(line + b"\r\n" for line in (b"host: x", b"content-length: %d" % len(body), *headers))
    return b"POST /v1/chat/completions HTTP/%b\r\n%b\r\n%b" % (version, lines, body)


@pytest.fixture
def timeouts() -> ClientTimeouts:
    """Tests that wait for them have shorter ones."""
    return ClientTimeouts()


@pytest.fixture
async def router(tmp_path: Path, timeouts: ClientTimeouts) -> AsyncIterator[RunningRouter]:
    async with ScriptedUpstream() as local:
        content = config(house(local.base_url), limits={"maxBodyBytes": 100_000})
        async with RunningRouter(tmp_path, content, bounds=Bounds(clients=timeouts)) as running:
            yield running


async def raw(router: RunningRouter, data: bytes, within: float = 1.0) -> bytes:
    return await client.raw("127.0.0.1", router.router.listen_port, data, within)


async def test_pipelined_requests_are_answered_in_order(router: RunningRouter) -> None:
    got = await raw(router, post(STREAM) + b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" + post(BODY), within=0.6)
    assert statuses(got) == [200, 200, 200]
    assert got.index(b"text/event-stream") < got.index(b'"object":"list"') < got.index(b'"message"')


async def test_pipelined_behind_a_running_stream(router: RunningRouter) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    writer.write(post(STREAM))
    await asyncio.sleep(0.05)
    for piece in (post(BODY)[:20], post(BODY)[20:90], post(BODY)[90:]):
        writer.write(piece)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    got = await reader.read(100_000)
    assert statuses(got) == [200, 200]
    writer.close()


async def test_many_pipelined_errors_do_not_recurse(router: RunningRouter) -> None:
    got = await raw(router, b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" * 3000, within=3)
    assert statuses(got) == [404] * 3000


async def test_many_pipelined_offers_do_not_recurse(router: RunningRouter) -> None:
    offer = b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    got = await raw(router, offer * 2000, within=3)
    assert statuses(got) == [404] * 2000


async def test_requests_byte_by_byte(router: RunningRouter) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    for byte in post(BODY):
        writer.write(bytes([byte]))
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize("keep", [False, True], ids=["close", "keep-alive"])
async def test_http_10(router: RunningRouter, keep: bool) -> None:
    more = (b"connection: keep-alive",) if keep else ()
    got = await raw(router, post(BODY, *more, version=b"1.0"), within=0.5)
    assert statuses(got) == [200] and (b"connection: keep-alive" in got) is keep
    got = await raw(router, post(STREAM, *more, version=b"1.0"))
    assert statuses(got) == [200] and b"transfer-encoding" not in got and got.endswith(b"data: [DONE]\n\n")


async def test_chunked_request_body(router: RunningRouter) -> None:
    pieces = [BODY[i : i + 7] for i in range(0, len(BODY), 7)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert statuses(await raw(router, head + body, within=0.5)) == [200]


async def test_expect_100_continue(router: RunningRouter) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    request = post(BODY, b"expect: 100-continue")
    writer.write(request[: -len(BODY)])
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_expect_100_continue_for_a_body_that_is_too_large(router: RunningRouter) -> None:
    got = await raw(router, post(b"", b"expect: 100-continue").replace(b"length: 0", b"length: 100001"))
    assert statuses(got) == [413]


async def test_an_offer_of_http2_is_declined(router: RunningRouter) -> None:
    """Java's HttpClient sends this with every first request."""
    offer = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAABAAMAAABk")
    assert statuses(await raw(router, post(BODY, *offer) + post(BODY), within=0.5)) == [200, 200]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_is_too_large_gets_413_that_the_client_can_read(router: RunningRouter, framing: str) -> None:
    body = b"x" * 3_000_000
    if framing == "length":
        data = post(body)
    else:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        data = head + b"%x\r\n%b\r\n" % (len(body), body)
    got = await raw(router, data, within=4)
    assert statuses(got) == [413] and b"caller_body_too_large" in got
    await until(lambda: router.buffered_bytes == 0)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30_000,
    ],
    ids=["url", "value", "count"],
)
async def test_a_head_that_is_too_large_gets_431(router: RunningRouter, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    for start in range(0, len(head), 10_000):
        writer.write(head[start : start + 10_000])
        await asyncio.sleep(0.001)
    assert statuses(await asyncio.wait_for(reader.read(4096), 3)) == [431]
    writer.close()


BAD: list[tuple[bytes, int, str]] = [
    (post(b"{"), 400, "caller_invalid_json"),
    (post(b"[]"), 400, "caller_missing_model"),
    (post(b'{"model": 7}'), 400, "caller_missing_model"),
    (post(b'{"messages": []}'), 400, "caller_missing_model"),
    (post(b'{"model": "nobody"}'), 404, "policy_model_not_found"),
    (post(b'{"model": "counting", "prompt": ' + b"[" * 900 + b"]" * 900 + b"}"), 400, "caller_bad_request"),
    (post(b'{"model": "counting", "tools": ' + b"[" * 900 + b"]" * 900 + b"}"), 400, "caller_bad_request"),
    (post(b'{"model": "counting", "prompt": ' + b"[" * 2000 + b"]" * 2000 + b"}"), 400, "caller_invalid_json"),
    (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n", 405, "caller_method_not_allowed"),
    (b"DELETE /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 405, "caller_method_not_allowed"),
    (b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", 404, "caller_unknown_path"),
    (b"GET /-/state HTTP/1.1\r\nhost: x\r\n\r\n", 404, "caller_unknown_path"),
    (b"GET /v1/models/nobody HTTP/1.1\r\nhost: x\r\n\r\n", 404, "policy_model_not_found"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "caller_bad_request"),
    (post(BODY).replace(b"content-length", b"content-length: 5\r\ncontent-length"), 400, "caller_bad_request"),
    (post(BODY, b"transfer-encoding: chunked"), 400, "caller_bad_request"),
]


@pytest.mark.parametrize(("data", "status", "word"), BAD, ids=[f"{w}-{i}" for i, (_, _, w) in enumerate(BAD)])
async def test_bad_requests(router: RunningRouter, data: bytes, status: int, word: str) -> None:
    got = await raw(router, data, within=0.4)
    assert statuses(got) == [status], got
    error = json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["type"] == word and error["message"] and error["code"]


async def test_models(router: RunningRouter) -> None:
    listed = await client.request(router.url + "/v1/models")
    assert [model["id"] for model in listed.json["data"]] == ["counting"]
    assert (await client.request(router.url + "/v1/models/counting")).json["id"] == "counting"


@pytest.mark.parametrize("timeouts", [ClientTimeouts(head=0.2, body=0.2, idle=0.2, linger=0.2)], ids=["short"])
async def test_silent_clients_are_closed(router: RunningRouter) -> None:
    idle, head, body = await asyncio.gather(
        raw(router, b"", 5), raw(router, b"POST /v1/chat", 5), raw(router, post(BODY)[:-5], 5)
    )
    assert idle == b"" and statuses(head) == [408] and statuses(body) == [408]
    await until(lambda: not router.connections)
    assert router.buffered_bytes == 0


async def test_routes_by_tokens_headers_and_names(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        backends = [house(local.base_url, name) for name in ("short", "vip", "wild", "rest")]
        routes: list[dict[str, Any]] = [
            {"name": "a", "match": {"models": ["m"], "maxInputTokens": 10}, "tiers": [[{"backend": "short"}]]},
            {
                "name": "b",
                "match": {"models": ["m"], "headers": [{"name": "x-team", "value": "gold"}]},
                "tiers": [[{"backend": "vip"}]],
            },
            {"name": "c", "match": {"models": ["m", "gpt-*"]}, "tiers": [[{"backend": "wild"}]]},
            {"name": "d", "match": {"models": ["empty"]}, "tiers": []},
            {"name": "e", "match": {}, "tiers": [[{"backend": "rest"}]]},
        ]
        long = [{"role": "user", "content": "x" * 100}]
        cases: list[tuple[dict[str, Any], dict[str, str], str]] = [
            (chat(model="m"), {}, "short"),
            (chat(model="m", messages=long), {"X-Team": "gold"}, "vip"),
            (chat(model="m", messages=long), {"X-Team": "silver"}, "wild"),
            (chat(model="gpt-5"), {}, "wild"),
            (chat(model="other"), {}, "rest"),
        ]
        async with RunningRouter(tmp_path, config(*backends, routes=routes)) as router:
            for body, headers, backend in cases:
                answer = await router.ask(body, headers=headers)
                assert answer.complete and answer.headers["x-genset-backend"] == backend
            empty = await router.ask(chat(model="empty"))
            assert empty.status == 503 and "route d" in empty.json["error"]["message"]
            models = (await client.request(router.url + "/v1/models")).json["data"]
            assert [model["id"] for model in models] == ["m", "empty", "small"], "the last route takes any name"


async def test_weights_share_a_tier_and_zero_is_the_last_resort(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as gone:
        backends = [house(local.base_url, name) for name in ("heavy", "light", "spare")]
        tier = [{"backend": "heavy", "weight": 3}, {"backend": "light"}, {"backend": "spare", "weight": 0}]
        routes = [{"name": "r", "match": {}, "tiers": [tier]}]
        async with RunningRouter(tmp_path, config(*backends, routes=routes)) as router:
            seen = [(await router.ask(chat(stream=False))).headers["x-genset-backend"] for _ in range(200)]
            assert 110 < seen.count("heavy") < 185 and seen.count("spare") == 0
            await gone.kill()
            backends = [house(gone.base_url, "heavy"), house(gone.base_url, "light"), house(local.base_url, "spare")]
            router.write(config(*backends, routes=routes, generation=2))
            table = router.table
            await until(lambda: router.table is not table)
            answer = await router.ask(chat())
            assert answer.complete and answer.headers["x-genset-backend"] == "spare"


FRAGMENTS = [
    b"GET", b"POST", b" /v1/chat/completions", b" /v1/models", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\n", b"\r",
    b"host: x\r\n", b"content-length: ", b"content-length: 5\r\n", b"content-length: 99999999999999999999\r\n",
    b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"expect: 100-continue\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n", b"connection: close\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00", b"\xff\xfe", b": ", b" ", b"{", b"}", BODY,
    post(BODY), post(STREAM), post(BODY)[:-3], b"x-genset-timeout: nan\r\n", b"x-request-id: \x01\r\n",
]  # fmt: skip
HOSTILE = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(min_value=0, max_value=2000), max_size=4)


def test_hostile_bytes_never_crash_nor_hang_the_router(tmp_path: Path) -> None:
    """Random and hostile bytes, cut anywhere: an answer or a closed connection, and the router serves on."""

    async def attack(router: RunningRouter, data: bytes, cuts: list[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
        try:
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
                writer.write(data[start:end])
                await asyncio.sleep(0)
            writer.write_eof()
            async with asyncio.timeout(5):  # the client has left: nothing may keep the connection
                got = await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()
        assert all(status in (100, 200, 400, 404, 405, 408, 413, 429, 431, 503) for status in statuses(got)), got

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def setup() -> tuple[RunningRouter, Callable[[], Awaitable[None]]]:
            upstream = await ScriptedUpstream(default=Answer(words=3)).__aenter__()
            running = await RunningRouter(tmp_path, config(house(upstream.base_url))).__aenter__()

            async def teardown() -> None:
                await running.__aexit__()
                await upstream.kill()

            return running, teardown

        router, teardown = runner.run(setup())
        problems: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data=HOSTILE, cuts=CUTS)
        @example(data=post(BODY) * 5, cuts=[1, 100, 300])
        def fuzz(data: bytes, cuts: list[int]) -> None:
            runner.run(attack(router, data, cuts))
            assert not problems, f"the router's loop saw {problems}"

        async def still_well() -> None:
            answer = await router.ask(chat())
            assert answer.complete and fault(answer.text, 3) is None
            await until(lambda: not router.exchanges and not router.connections)
            assert router.gate.in_flight == 0 and router.buffered_bytes == 0

        try:
            fuzz()
            runner.run(still_well())
        finally:
            runner.run(teardown())
