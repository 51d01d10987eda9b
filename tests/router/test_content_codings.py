"""Content codings over real sockets: what upstreams send unasked, and what clients send."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from genset.router.http.coded import FREE_BYTES, MOST_RATIO
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import steps
from testbed.upstream.client import HttpConnection, chat, raw
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.pieces import DONE, FakeServer, chunk, event, text

MIB = 1024 * 1024
STREAM = (event({"role": "assistant", "content": ""}), text("a"), text("b"), text("c"), event({}, "stop"), DONE)
WHOLE = json.dumps(
    {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "abc"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
    }
).encode()  # fmt: skip
TOO_LONG = json.dumps(
    steps.error_body("This model's maximum context length is 8 tokens.", "x", "context_length_exceeded")
).encode()


class Gzip:
    def __init__(self, bits: int = 31) -> None:
        self._packer = zlib.compressobj(wbits=bits)

    def part(self, data: bytes) -> bytes:
        return self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._packer.flush()


class Zstd:
    def __init__(self) -> None:
        self._packer = zstandard.ZstdCompressor().compressobj()

    def part(self, data: bytes) -> bytes:
        return self._packer.compress(data) + self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._packer.flush()


CODINGS: dict[str, tuple[bytes, Callable[[], Any]]] = {
    "gzip": (b"gzip", Gzip),
    "x-gzip": (b"X-GZIP", Gzip),
    "deflate": (b"deflate", lambda: Gzip(15)),
    "raw deflate": (b"deflate", lambda: Gzip(-15)),
    "zstd": (b"zstd", Zstd),
}


def packed(row: str, data: bytes) -> bytes:
    packer = CODINGS[row][1]()
    return bytes(packer.part(data) + packer.end())


def head(
    coding: bytes, status: bytes = b"200 OK", kind: bytes = b"text/event-stream", length: int | None = None
) -> bytes:
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-encoding: %b\r\n%b\r\n\r\n" % (status, kind, coding, framing)


def answer_of(coding: bytes, body: bytes, status: bytes = b"200 OK") -> bytes:
    return head(coding, status, b"application/json", len(body)) + body


async def test_no_coding_is_asked_for(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        assert (await router.ask(chat(), headers={"accept-encoding": "gzip, br"})).complete
    assert local.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pause", [0.0, 0.02])
@pytest.mark.parametrize("row", CODINGS)
async def test_a_coded_stream_is_read(tmp_path: Path, row: str, pause: float, stream: bool) -> None:
    coding, make = CODINGS[row]
    packer = make()
    parts = [chunk(packer.part(part)) for part in STREAM]
    pieces = [head(coding), *(piece for part in parts for piece in (pause, part)), chunk(packer.end()), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, RunningRouter(tmp_path, config(house(server.url))) as router:
        answers = [await router.ask(chat(stream)) for _ in range(3)]  # the second under a head that came before
    for answer in answers:
        assert answer.complete and answer.text == "abc" and "content-encoding" not in answer.headers, answer


@pytest.mark.parametrize("row", CODINGS)
async def test_a_coded_whole_answer_is_read(tmp_path: Path, row: str) -> None:
    async with FakeServer(answer_of(CODINGS[row][0], packed(row, WHOLE))).running() as server:
        async with RunningRouter(tmp_path, config(house(server.url), failover={"rebuildAnswers": False})) as router:
            answers = [await router.ask(chat(False)) for _ in range(3)]
            stream = await router.ask(chat(True))
        assert all(answer.body == WHOLE and "content-encoding" not in answer.headers for answer in answers)
        assert stream.complete and stream.text == "abc", stream


@pytest.mark.parametrize("row", CODINGS)
async def test_a_coded_refusal_is_understood(tmp_path: Path, row: str) -> None:
    refusal = answer_of(CODINGS[row][0], packed(row, TOO_LONG), b"400 Bad Request")
    async with FakeServer(refusal).running() as server, ScriptedUpstream() as larger:
        backends = house(server.url, contextTokens=8192), cloud(larger.base_url, contextTokens=100_000)
        async with RunningRouter(tmp_path, config(*backends)) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.headers["x-genset-attempts"].startswith("house:context_exceeded:")
        async with RunningRouter(tmp_path, config(backends[0])) as router:
            alone = await router.ask(chat())
        assert alone.status == 400 and alone.body == TOO_LONG and "content-encoding" not in alone.headers


#: What is no answer: pieces of it.
UNREADABLE: dict[str, list[bytes]] = {
    "unknown coding": [answer_of(b"br", b"\x0b\x02\x80{}\x03")],
    "unknown coding of a stream": [head(b"br"), chunk(b"\x0b\x02\x80" + text("a")), b"0\r\n\r\n"],
    "several codings": [head(b"gzip, gzip"), chunk(gzip.compress(gzip.compress(b"".join(STREAM)))), b"0\r\n\r\n"],
    "in two lines": [
        head(b"gzip\r\ncontent-encoding: identity").replace(b"gzip", b"br", 1), chunk(b"\x0b\x02"), b"0\r\n\r\n"
    ],
    "not what it says": [head(b"gzip"), *(chunk(part) for part in STREAM), b"0\r\n\r\n"],
    "cut off": [answer_of(b"gzip", gzip.compress(WHOLE)[:-20])],
    "a bomb": [answer_of(b"gzip", gzip.compress(b"{" + bytes(100 * MIB), 1))],
    "a bomb of a stream": [head(b"gzip"), chunk(gzip.compress(text("a") + bytes(100 * MIB), 1)), b"0\r\n\r\n"],
    "a bomb of zstd": [answer_of(b"zstd", zstandard.ZstdCompressor().compress(b"{" + bytes(100 * MIB)))],
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("row", UNREADABLE)
async def test_what_cannot_be_read_is_a_failure(tmp_path: Path, row: str, stream: bool) -> None:
    async with FakeServer(*UNREADABLE[row]).running() as server, ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(house(server.url), cloud(other.base_url))) as router:
            answer = await router.ask(chat(stream))
        if row == "a bomb of a stream" and stream:  # its first event was good, and went on
            assert answer.status == 200 and b"\0" not in answer.body
        else:
            assert answer.complete and answer.headers["x-genset-backend"] == "cloud", answer
            assert answer.headers["x-genset-attempts"].startswith("house:invalid_response:")


#: transfer codings of an answer in chunks, what its bytes went through, and whether it can be read
TRANSFERRED: dict[str, tuple[bytes, Callable[[bytes], bytes], bool]] = {
    "gzip": (b"gzip, chunked", gzip.compress, True),
    "x-gzip, upper case": (b"X-GZIP,Chunked", gzip.compress, True),
    "in two lines": (b"gzip\r\ntransfer-encoding: chunked", gzip.compress, True),
    "identity": (b"identity, chunked", bytes, True),
    "upper case": (b"Chunked", bytes, True),
    "gzip that is none": (b"gzip, chunked", bytes, False),
    "gzip in gzip": (
        b"gzip, chunked\r\ncontent-encoding: gzip",
        lambda body: gzip.compress(gzip.compress(body)),
        False,
    ),
    "unknown": (b"compress, chunked", bytes, False),
    "chunked twice": (b"chunked, chunked", lambda body: chunk(body) + b"0\r\n\r\n", False),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("row", TRANSFERRED)
async def test_transfer_codings_of_answers_are_undone_or_a_failure(tmp_path: Path, row: str, stream: bool) -> None:
    coding, through, good = TRANSFERRED[row]
    lines = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: %b\r\n\r\n"
    for kind, body in ((b"text/event-stream", b"".join(STREAM)), (b"application/json", WHOLE)):
        answer = (lines % (kind, coding), chunk(through(body)), b"0\r\n\r\n")
        async with (
            FakeServer(*answer).running() as server,
            ScriptedUpstream() as other,
            RunningRouter(tmp_path, config(house(server.url), cloud(other.base_url))) as router,
        ):
            answers = [await router.ask(chat(stream)) for _ in range(2)]
        for got in answers:
            assert got.complete and got.headers["x-genset-backend"] == ("house" if good else "cloud"), got
            assert not good or got.text == "abc"
            assert good or got.headers["x-genset-attempts"].startswith("house:")


async def test_a_transfer_coding_without_chunks_ends_with_the_connection(tmp_path: Path) -> None:
    for coding, body, backend in ((b"gzip", gzip.compress(WHOLE), "house"), (b"chunked;q=1", chunk(WHOLE), "cloud")):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: %b\r\n\r\n" % coding

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = head + body) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(65_536)
            writer.write(said)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with (
            server,
            ScriptedUpstream() as other,
            RunningRouter(tmp_path, config(house(url), cloud(other.base_url))) as router,
        ):
            got = await router.ask(chat(False))
        assert got.complete and got.headers["x-genset-backend"] == backend, got


async def test_a_coded_stream_that_breaks_is_continued(tmp_path: Path) -> None:
    packer = Gzip()
    pieces = [head(b"gzip"), *(chunk(packer.part(part)) for part in STREAM[:3]), 0.1, chunk(b"\xff" * 50), 5.0]
    async with FakeServer(*pieces).running() as server, ScriptedUpstream() as other:
        async with RunningRouter(
            tmp_path, config(house(server.url), cloud(other.base_url, continuation="Prefill"))
        ) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.text.startswith("ab") and len(other.requests) == 1, answer


# Requests

BODY = json.dumps(chat()).encode()


@pytest.mark.parametrize("row", CODINGS)
async def test_a_coded_request_is_read(tmp_path: Path, row: str) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        connection = await HttpConnection.open(router.url)
        for _ in range(3):  # one connection: heads that came before are not taken for plain ones
            running = await connection.start(
                "/v1/chat/completions", packed(row, BODY), {"content-encoding": CODINGS[row][0].decode()}
            )
            assert (await running.whole()).complete
        plain = await connection.start("/v1/chat/completions", BODY)
        assert (await plain.whole()).complete
        identity = await connection.start("/v1/chat/completions", BODY, {"content-encoding": "identity"})
        assert (await identity.whole()).complete
        connection.close()
        assert router.buffered_bytes == 0
    assert all("content-encoding" not in request.headers for request in local.requests)
    assert {request.json["messages"][0]["content"] for request in local.requests} == {"count"}


#: coding, body, status, error code
REFUSED: dict[str, tuple[str, bytes, int, str]] = {
    "brotli": ("br", b"\x0b\x02\x80{}\x03", 415, "unsupported_encoding"),
    "two codings": ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415, "unsupported_encoding"),
    "not what it says": ("gzip", BODY, 400, "bad_request"),
    "cut off": ("gzip", gzip.compress(BODY)[:-4], 400, "bad_request"),
    "a bomb": ("gzip", gzip.compress(bytes(50 * MIB)), 413, "body_too_large"),
    "a bomb of zstd": ("zstd", zstandard.ZstdCompressor().compress(bytes(50 * MIB)), 413, "body_too_large"),
    "no JSON": ("deflate", zlib.compress(b"{"), 400, "invalid_json"),
}


@pytest.mark.parametrize("row", REFUSED)
async def test_other_coded_requests_are_refused(tmp_path: Path, row: str) -> None:
    coding, body, status, code = REFUSED[row]
    async with ScriptedUpstream() as local:
        content = config(house(local.base_url), limits={"maxBodyBytes": MIB})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(body, headers={"content-encoding": coding})
            assert router.buffered_bytes == 0
        assert answer.status == status and answer.json["error"]["code"] == code, answer
        assert (answer.headers.get("accept-encoding") == "gzip, deflate, zstd, identity") is (status == 415)
    assert not local.requests


@pytest.mark.parametrize("row", CODINGS)
async def test_a_request_unpacks_to_no_more_than_follows_from_its_size(tmp_path: Path, row: str) -> None:
    coding = CODINGS[row][0].decode()
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        for size in (FREE_BYTES - 1000, 2 * MIB, 30 * MIB):
            body = BODY[:-1] + b" " * size + b"}"
            coded = packed(row, body)
            fits = len(body) <= FREE_BYTES + MOST_RATIO * len(coded)
            answer = await router.ask(coded, headers={"content-encoding": coding})
            assert fits is (size < MIB) and answer.status == (200 if fits else 413), answer
            assert fits or f"{MOST_RATIO} times its size" in answer.json["error"]["message"]
        assert router.buffered_bytes == 0
    assert len(local.requests) == 1


@pytest.mark.parametrize("coded", [True, False])
async def test_many_heavy_bodies_of_one_caller_leave_the_loop_to_others(tmp_path: Path, coded: bool) -> None:
    """Not all of them are read before somebody else who came last is answered."""
    body = b'{"model":"nobody","messages":[%b[]]}' % (b"[],     " * 31_000)
    data = zstandard.compress(body) if coded else body + b" " * 20_000
    lines = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b"
    request = lines % (b"content-encoding: zstd\r\n" if coded else b"", len(data), data)
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        opened = [await asyncio.open_connection("127.0.0.1", router.router.listen_port) for _ in range(40)]
        for _, writer in opened:
            writer.write(request)
        heads = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in opened]
        answer = await router.ask(chat(False))
        before = sum(head.done() for head in heads)
        got = await asyncio.gather(*heads)
    assert answer.complete and before < len(opened), before
    assert all(head.startswith(b"HTTP/1.1 404 ") for head in got), got[0]


async def test_a_large_coded_request_counts_with_its_plain_size(tmp_path: Path) -> None:
    words = random.Random(1).randbytes(MIB // 4).hex()
    body = json.dumps(chat(messages=[{"role": "user", "content": words}])).encode()
    async with ScriptedUpstream(default=steps.Silence()) as local:
        coded = gzip.compress(body)
        async with RunningRouter(tmp_path, config(house(local.base_url), limits={"maxBodyBytes": MIB})) as router:
            lines = (
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
            )
            await raw("127.0.0.1", router.router.listen_port, lines % len(coded) + coded, within=0.5)
            assert len(local.requests[0].body) > MIB // 2
            assert router.buffered_bytes in (0, len(body))
