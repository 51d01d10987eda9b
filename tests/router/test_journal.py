"""Every request leaves a line, whoever refused it; and what happens when the lines cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.process.options import Bounds
from genset.router.telemetry.access_log import SLOW_FLUSHES, AccessLog, LogBounds
from genset.router.telemetry.log_line import FIELDS
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence

BODY = json.dumps(chat(stream=False)).encode()


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def post(*headers: str, body: bytes = BODY, path: str = "/v1/chat/completions") -> bytes:
    more = "".join(f"{header}\r\n" for header in headers)
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


#: Bytes of a client; status, error word and `request` of the line that they leave.
REFUSED: dict[str, tuple[bytes, int, str, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "caller_bad_request", ""),
    "a bad header": (b"GET /v1/models HTTP/1.1\r\nb@d\r\n\r\n", 400, "caller_bad_request", "GET /v1/models"),
    "too large": (post(body=b"x" * 200_000), 413, "caller_body_too_large", "POST /v1/chat/completions"),
    "a head that is too large": (
        b"GET /v1/models HTTP/1.1\r\n" + b"a: bbbbbbbbbbbbbbbbbbbb\r\n" * 9000, 431, "caller_headers_too_large", "GET /v1/models",
    ),
    "no JSON": (post(body=b"{"), 400, "caller_invalid_json", "POST /v1/chat/completions"),
    "no model": (post(body=b"{}"), 400, "caller_missing_model", "POST /v1/chat/completions"),
    "an unknown model": (post(body=b'{"model": "x"}'), 404, "policy_model_not_found", "POST /v1/chat/completions"),
    "an unknown path": (b"GET /x?key=sk-secret HTTP/1.1\r\nhost: x\r\n\r\n", 404, "caller_unknown_path", "GET /x"),
    "a wrong method": (b"DELETE /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 405, "caller_method_not_allowed", "DELETE /v1/models"),
    "models": (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 200, "", "GET /v1/models"),
    "health": (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 200, "", "GET /health"),
    "a good one": (post(), 200, "", "POST /v1/chat/completions"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_each_request_leaves_a_line(tmp_path: Path, case: str) -> None:
    data, status, word, asked = REFUSED[case]
    log = tmp_path / "log"
    async with ScriptedUpstream() as local:
        content = config(house(local.base_url), limits={"maxBodyBytes": 100_000})
        async with RunningRouter(tmp_path, content, log=log) as router:
            reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
            for start in range(0, len(data), 16_384):
                writer.write(data[start : start + 16_384])
                await asyncio.sleep(0.001)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.close()
    (line,) = lines(log)
    assert list(line) == list(FIELDS)
    assert (line["status"], line["error"], line["request"]) == (status, word, asked)
    assert line["client"] == "127.0.0.1" and f"x-request-id: {line['id']}\r\n".encode() in head
    assert "sk-secret" not in str(line)
    assert bool(word) is bool(line["detail"]) or word == "policy_model_not_found"


async def test_what_came_before_on_a_connection_is_not_told_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router:
        data = post("x-request-id: mine", path="/nowhere") + b"\x00\x01 no HTTP\r\n\r\n"
        got = await client.raw("127.0.0.1", router.router.listen_port, data, 0.5)
        assert got.count(b"HTTP/1.1 ") == 2
        reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
        for data in (post("x-request-id: mine", path="/nowhere"), b"\x00\x01 no HTTP\r\n\r\n"):
            writer.write(data)
            await reader.readuntil(b"\r\n\r\n")
        writer.close()
    told = [(line["status"], line["request"], line["id"] == "mine") for line in lines(log)]
    assert told == [(404, "POST /nowhere", True), (400, "", False)] * 2


async def test_timeouts_and_a_full_router_leave_lines_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream(default=Answer(first_delay=0.5)) as local:
        content = config(house(local.base_url), limits={"maxInFlight": 1, "maxQueued": 0})
        times = ClientTimeouts(head=0.2)
        async with RunningRouter(tmp_path, content, log=log, bounds=Bounds(clients=times)) as router:
            await asyncio.gather(router.ask(chat()), router.ask(chat()))
            await client.raw("127.0.0.1", router.router.listen_port, b"POST /v1/chat/completions HTTP/1.1\r\nx: y", 4)
    assert sorted((line["status"], line["error"]) for line in lines(log)) == [
        (200, ""), (408, "caller_timeout"), (429, "router_overloaded"),
    ]  # fmt: skip


GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
CHAT = "POST /v1/chat/completions"
#: What a client sends before it leaves, its first request unanswered; status and `request` of the lines that stay.
BROKEN_OFF: dict[str, tuple[list[bytes], list[tuple[int, str]]]] = {
    "whole, in one piece": ([post() * 3], [(499, CHAT)] * 3),
    "whole, one by one": ([post(), post(), GET], [(499, "GET /v1/models"), (499, CHAT), (499, CHAT)]),
    "a head": ([post()[:40]], [(499, CHAT)]),
    "a piece of a request line": ([b"GET /v1/mo"], [(499, "GET /v1/mo")]),
    "a head and a piece of a body": ([post()[:-5]], [(499, CHAT)]),
    "a piece behind whole ones": ([post(), GET + post()[:-5]], [(499, "GET /v1/models"), (499, CHAT), (499, CHAT)]),
    "a piece behind a whole one, together": ([post() + post()[:-5]], [(499, CHAT), (499, CHAT)]),
    "no HTTP behind a whole one": ([post(), b"\0\1\r\n\r\n"], [(400, ""), (499, CHAT)]),
    "no HTTP behind a whole one, together": ([post() + b"\0\1\r\n\r\n"], [(400, ""), (499, CHAT)]),
    "as many as are kept": ([post(), GET * 1500], [*[(499, "GET /v1/models")] * 1500, (499, CHAT)]),
    "with a name and a proxy": ([post("x-request-id: mine")[:-1]], [(499, CHAT)]),
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("case", BROKEN_OFF)
async def test_requests_whose_client_leaves_leave_their_lines(tmp_path: Path, case: str, reset: bool) -> None:
    sent, wanted = BROKEN_OFF[case]
    log = tmp_path / "log"
    async with (
        ScriptedUpstream(default=Silence()) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
        for data in sent:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.05)
        await until(lambda: bool(router.connections))
        if reset:
            writer.transport.abort()
        writer.close()
        await until(lambda: not router.connections, what="the connection's end")
        refused = router.metrics.refused["caller_gone"] + router.metrics.refused["caller_bad_request"]
        assert router.buffered_bytes == 0
    told = lines(log)
    assert sorted((line["status"], line["request"]) for line in told) == wanted
    assert {line["client"] for line in told} == {"127.0.0.1"}
    assert refused == len(wanted) - (1 if local.requests else 0)
    assert all(line["error"] == ("caller_gone" if line["status"] == 499 else "caller_bad_request") for line in told)
    assert case != "with a name and a proxy" or told[0]["id"] == "mine"


async def test_bytes_behind_the_last_request_of_a_connection_leave_a_line(tmp_path: Path) -> None:
    """They are no request (RFC 9112, 9.6), and nobody answers them."""
    log = tmp_path / "log"
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router:
        got = await client.raw("127.0.0.1", router.router.listen_port, GET + post("connection: close") + GET, 0.5)
    assert [line["status"] for line in lines(log)] == [200, 200, 400] and got.count(b"HTTP/1.1 ") == 2


async def test_the_client_behind_a_trusted_proxy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    said = ("x-forwarded-for: 1.2.3.4, 203.0.113.7", "x-forwarded-for: 10.1.1.1")  # each proxy a line of its own
    async with ScriptedUpstream() as local:
        content = {**config(house(local.base_url)), "trustedProxies": ["127.0.0.0/8", "10.0.0.0/8"]}
        async with RunningRouter(tmp_path, content, log=log) as router:
            for data in (post(*said), post(*said, path="/nowhere"), post(*said, body=b"{"), post()):
                await client.raw("127.0.0.1", router.router.listen_port, data, 0.3)
            router.write(config(house(local.base_url), generation=2))
            await until(lambda: router.table.config.policy.generation == 2)
            await client.raw("127.0.0.1", router.router.listen_port, post(*said), 0.3)
    assert [line["client"] for line in lines(log)] == ["203.0.113.7"] * 3 + ["127.0.0.1"] * 2


def full_disk() -> int:
    """A file on a disk that is always full."""
    return os.open("/dev/full", os.O_WRONLY)


def filler(number: int) -> bytes:
    return json.dumps({"number": number, "text": "x" * 100}).encode() + b"\n"


def test_a_full_disk_is_retried_counted_and_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO", "genset")
    descriptor = full_disk()
    log = AccessLog(descriptor, LogBounds(batches=10, retry_least=0.01, retry_most=0.02))
    lost = 0
    for number in range(300):
        log.add(filler(number))
        lost += log.flush()
        if number == 1:
            wait(lambda: bool(log.failing))
    assert log.failing == "No space left on device"
    assert lost == log.dropped >= 300 - 12
    assert log.view()["waitingLines"] <= 11
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, descriptor)  # there is room again
    wait(lambda: not log._problem)
    for _ in range(SLOW_FLUSHES + 1):
        log.flush()
    assert not log.failing
    log.add(filler(300))
    log.close()
    os.close(file)
    os.close(descriptor)
    numbers = [json.loads(line)["number"] for line in (tmp_path / "log").read_text().splitlines()]
    assert numbers == sorted(numbers) and numbers[-1] == 300, "the newest lines are kept, in their order"
    assert len(numbers) + lost == 301, "each line was written or counted"
    said = [record.message for record in caplog.records]
    assert [line.split(":")[0].split(";")[0] for line in said] == [
        "Failed to write the access log", "Wrote the access log again",
    ], said  # fmt: skip
    assert f"{lost} lines were lost" in said[1]


def test_lines_that_wait_are_bounded_in_bytes() -> None:
    log = AccessLog(full_disk(), LogBounds(bytes=100_000))
    for batch in range(50):
        for number in range(100):
            log.add(filler(100 * batch + number))
        log.flush()
        assert log._bytes <= 100_000
    assert log.dropped > 3000 and log.crowded
    log.close()


def wait(condition: Any) -> None:
    import time

    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def test_a_reader_that_leaves_and_returns(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url)), log=pipe) as router:
        os.close(reader)
        assert (await router.ask(chat(stream=False))).complete, "no request waits for the log"
        await until(lambda: router.journal.view()["failing"] == "Broken pipe")
        assert "genset_router_log_failing 1.0" in (await router.admin("/metrics")).body.decode()
        state = (await router.admin("/-/state")).json["accessLog"]
        assert state["failing"] == "Broken pipe" and state["droppedLines"] == 0
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        await until(lambda: not router.journal.view()["failing"])
        assert json.loads(os.read(reader, 100_000))["status"] == 200
    os.close(reader)


async def test_without_a_log_nobody_is_served_where_one_is_required(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with ScriptedUpstream() as local:
        content = {**config(house(local.base_url)), "log": {"required": True}}
        async with RunningRouter(tmp_path, content, log=pipe) as router:
            assert (await router.ask(chat(stream=False))).complete
            os.close(reader)
            await router.ask(chat(stream=False))
            await until(lambda: bool(router.journal.unlogged))
            asked = len(local.requests)
            for path in ("/v1/chat/completions", "/v1/models", "/nowhere"):
                refused = await router.ask(chat(), path)
                assert refused.status == 503 and refused.json["error"]["type"] == "router_log_unavailable"
                assert "Broken pipe" in refused.json["error"]["message"] and refused.headers["retry-after"] == "5"
            assert len(local.requests) == asked
            ready = await router.admin("/-/ready")
            assert ready.status == 503 and b"router.log.required" in ready.body
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            await until(lambda: not router.journal.unlogged)
            assert (await router.ask(chat(stream=False))).complete
            assert (await router.admin("/-/ready")).status == 200
    os.close(reader)


async def test_a_router_without_a_log_refuses_a_policy_that_wants_one(tmp_path: Path) -> None:
    content = {**config(house("http://127.0.0.1:1/v1")), "log": {"required": True}}
    async with RunningRouter(tmp_path, content) as router:
        refused = await request(router.url + "/v1/models")
        assert refused.status == 503 and "was started without one" in refused.json["error"]["message"]


async def test_what_a_full_log_loses_last_are_the_lines_of_served_requests(tmp_path: Path) -> None:
    """Whoever hammers at a router that refuses service cannot push out what is still to be written."""
    bounds = Bounds(log=LogBounds(batches=6, retry_least=0.01))
    descriptor = full_disk()
    async with ScriptedUpstream() as local:
        content = {**config(house(local.base_url)), "log": {"required": True}}
        running = RunningRouter(tmp_path, content, log=tmp_path / "log", bounds=bounds)
        os.dup2(descriptor, running.router._options.access_log or -1)
        async with running as router:
            assert (await router.ask(chat(stream=False))).complete
            await until(lambda: bool(router.journal.unlogged))
            for _ in range(40):
                await router.ask(chat(stream=False))
                await asyncio.sleep(0.03)
            await until(lambda: router.metrics.log_lines_dropped > 0)
            file = os.open(tmp_path / "log", os.O_WRONLY)
            os.dup2(file, running.router._options.access_log or -1)
            await until(lambda: not router.journal.unlogged)
        os.close(file)
    os.close(descriptor)
    written = lines(tmp_path / "log")
    assert written[0]["status"] == 200
    assert {line["error"] for line in written[1:]} == {"router_log_unavailable"} and len(written) < 40
