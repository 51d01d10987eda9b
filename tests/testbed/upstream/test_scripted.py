"""The scripted upstream is what fault tests trust: each of its steps is checked from a client's side."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from testbed.upstream import client, steps
from testbed.upstream.client import chat, request
from testbed.upstream.counting import counted, fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, OnAccept
from testbed.upstream.tls import Authority
from testbed.upstream.wire import Asked, stream_events

CHAT = "/v1/chat/completions"


async def test_streamed_answer_counts_and_ends() -> None:
    async with ScriptedUpstream([Answer(words=5)]) as upstream:
        answer = await request(upstream.url + CHAT, chat())
        assert answer.complete
        assert fault(answer.text, 5) is None
        assert answer.usage == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        assert answer.choices[0]["delta"] == {"role": "assistant", "content": None}
        received = upstream.requests[0]
        assert (received.method, received.path, received.json["model"]) == ("POST", CHAT, "counting")
        assert received.finished_at is not None
        assert received.chunks_sent == 5


async def test_plain_answer_and_keep_alive() -> None:
    async with ScriptedUpstream([Answer(words=3), Answer(words=4)]) as upstream:
        connection = await client.HttpConnection.open(upstream.url)
        for words in (3, 4):
            answer = await (await connection.start(CHAT, chat(stream=False))).whole()
            assert fault(answer.text, words) is None
            assert answer.complete
            assert answer.keep_alive
        connection.close()
        assert upstream.accepted == 1
        await upstream.until(lambda: upstream.open_connections == 0)


async def test_continues_a_trailing_assistant_message_within_max_tokens() -> None:
    async with ScriptedUpstream(default=Answer(words=10)) as upstream:
        said = {"role": "assistant", "content": counted(4)}
        messages = [{"role": "user", "content": "count"}, said]
        rest = await request(upstream.url + CHAT, {**chat(), "messages": messages})
        assert fault(rest.text, 6, first=4) is None
        short = await request(upstream.url + CHAT, {**chat(), "messages": messages, "max_tokens": 2})
        assert (short.numbers, short.finish_reason) == ([4, 5], "length")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
async def test_other_paths_have_their_own_shape(path: str) -> None:
    async with ScriptedUpstream() as upstream:
        answer = await request(upstream.url + path, {"model": "m", "prompt": "x", "input": "x"})
        assert answer.json["object"] == ("list" if path.endswith("embeddings") else "text_completion")


@pytest.mark.parametrize(
    ("step", "status", "kind", "header"),
    [
        (steps.rate_limited(), 429, "rate_limit_exceeded", None),
        (steps.rate_limited(2), 429, "rate_limit_exceeded", "2"),
        (steps.quota_exhausted(), 429, "insufficient_quota", None),
        (steps.server_error(503, 1.5), 503, None, "1.5"),
        (steps.loading(), 503, 503, None),
        (steps.unauthorized(), 401, "invalid_api_key", None),
        (steps.model_not_found(), 404, "model_not_found", None),
        (steps.context_overflow("llama.cpp"), 400, 400, None),
        (steps.context_overflow("vllm"), 400, 400, None),
        (steps.context_overflow(), 400, "context_length_exceeded", None),
        (steps.content_filter(), 400, "content_filter", None),
    ],
)
async def test_statuses(step: steps.Status, status: int, kind: object, header: str | None) -> None:
    async with ScriptedUpstream([step]) as upstream:
        answer = await request(upstream.url + CHAT, chat())
        assert answer.error is not None
        assert (answer.status, answer.error["code"], answer.headers.get("retry-after")) == (status, kind, header)


@pytest.mark.parametrize(
    ("step", "ended"),
    [
        (steps.Reset(), "reset"),
        (steps.Close(), "truncated"),
        (steps.Raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "malformed"),
        (Answer(brk=Break("fin", after_chunks=3)), "truncated"),
        (Answer(brk=Break("rst", after_chunks=3)), "reset"),
        (Answer(brk=Break("end", after_chunks=3)), "clean"),
        (Answer(brk=Break("end", after_chunks=3), framing="close"), "clean"),
    ],
)
async def test_endings(step: steps.Step, ended: str) -> None:
    async with ScriptedUpstream([step]) as upstream:
        answer = await request(upstream.url + CHAT, chat())
        assert answer.ended == ended
        assert not answer.complete
        if isinstance(step, Answer):
            assert answer.numbers == [0, 1, 2], "a reset must not take delivered chunks with it"


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_cut_at_every_byte(how: steps.How) -> None:
    texts = (" 0000", " größe", " 🏠", " 0003")
    whole = stream_events(Answer(texts=texts), Asked.of(CHAT, chat()), "scripted-0").whole
    async with ScriptedUpstream() as upstream:
        for cut in range(0, len(whole) + 1, 7):
            upstream.requests.clear()
            upstream.then(Answer(texts=texts, brk=Break(how, after_bytes=cut)))
            answer = await request(upstream.url + CHAT, chat())
            assert answer.body == whole[:cut]
            assert answer.ended == {"fin": "truncated", "rst": "reset"}[how]


async def test_in_band_error_malformed_chunk_and_missing_ends() -> None:
    async with ScriptedUpstream() as upstream:
        upstream.then(
            Answer(brk=Break("end", after_chunks=2, send=steps.in_band_error())),
            Answer(words=3, brk=Break("continue", after_chunks=2, send=b'data: {"id": "x", "cho\n\n')),
            Answer(words=3, done=False),
            Answer(words=3, finish_reason=None),
        )
        error, malformed, undone, unfinished = [await request(upstream.url + CHAT, chat()) for _ in range(4)]
        assert error.error is not None
        assert error.numbers == [0, 1]
        assert None in malformed.chunks
        assert malformed.numbers == [0, 1, 2]
        assert (undone.done, undone.finish_reason, undone.ended) == (False, "stop", "clean")
        assert (unfinished.done, unfinished.finish_reason, unfinished.complete) == (True, None, False)


async def test_stall_and_silence_are_ended_by_the_client_and_noticed() -> None:
    async with ScriptedUpstream([Answer(brk=Break("stall", after_chunks=2)), steps.Silence()]) as upstream:
        async with client.stream(upstream.url + CHAT, chat()) as exchange:
            await exchange.until_text(2)
            with pytest.raises(TimeoutError):
                await exchange.whole(within=0.2)
            assert upstream.busy == 1
            exchange.leave()
        await upstream.until(lambda: upstream.requests[0].client_left_at is not None)
        async with client.stream(upstream.url + CHAT, chat()) as exchange:
            with pytest.raises(TimeoutError):
                await exchange.whole(within=0.2)
            assert (exchange.response.status, exchange.response.body) == (200, b"")
        await upstream.until(lambda: upstream.busy == 0)


async def test_paces() -> None:
    async with ScriptedUpstream([Answer(words=4, first_delay=0.15, interval=0.05)]) as upstream:
        answer = await request(upstream.url + CHAT, chat())
        assert answer.first_content_at is not None
        assert answer.headers_at is not None
        assert answer.first_content_at - answer.headers_at > 0.14
        assert answer.ended_at is not None
        assert answer.ended_at - answer.first_content_at > 0.14


@pytest.mark.parametrize("how", ["reset", "close", "silent", "never-read", "garbage"])
async def test_on_accept(how: str) -> None:
    async with ScriptedUpstream(accept=[OnAccept(how)]) as upstream:  # type: ignore[arg-type]
        if how in ("silent", "never-read"):
            async with client.stream(upstream.url + CHAT, chat()) as exchange:
                with pytest.raises(TimeoutError):
                    await exchange.whole(within=0.2)
        else:
            answer = await request(upstream.url + CHAT, chat())
            endings = {"reset": ("reset",), "close": ("truncated", "reset"), "garbage": ("malformed",)}
            assert answer.ended in endings[how]
        assert upstream.requests == []
        good = await request(upstream.url + CHAT, chat())
        assert good.complete


async def test_never_read_stops_a_sender() -> None:
    async with ScriptedUpstream(every_accept=OnAccept("never-read")) as upstream:
        sock = socket.create_connection((upstream.host, upstream.port))
        sock.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            for _ in range(1000):
                sent += sock.send(b"x" * 65536)
        sock.close()
        assert sent < 16 * 1024 * 1024


async def test_kill_resets_streams_and_the_port_comes_back() -> None:
    async with ScriptedUpstream(default=Answer(words=100, interval=0.01)) as upstream:
        async with client.stream(upstream.url + CHAT, chat()) as exchange:
            await exchange.until_text(3)
            await upstream.kill()
            answer = await exchange.whole()
            assert answer.ended == "reset"
        with pytest.raises(ConnectionRefusedError):
            await request(upstream.url + CHAT, chat())
        upstream.listen()
        upstream.always(Answer(words=3))
        assert (await request(upstream.url + CHAT, chat())).complete


async def test_tls_with_a_private_ca() -> None:
    authority = Authority()
    async with ScriptedUpstream([Answer(), Answer(brk=Break("fin", after_chunks=2))], tls=authority) as upstream:
        assert upstream.url.startswith("https://")
        trusted = authority.client_context()
        assert (await request(upstream.url + CHAT, chat(), context=trusted)).complete
        assert (await request(upstream.url + CHAT, chat(), context=trusted)).ended == "truncated"
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await request(upstream.url + CHAT, chat(), context=Authority().client_context())
        await upstream.until(lambda: upstream.refused_handshakes == 1)


async def test_choose_and_health() -> None:
    def by_model(received: object) -> steps.Step | None:
        return steps.unauthorized() if getattr(received, "json", {})["model"] == "locked" else None

    async with ScriptedUpstream([Answer(words=2)], choose=lambda r: by_model(r) if r.body else None) as upstream:
        assert (await request(upstream.url + CHAT, chat(model="locked"))).status == 401
        assert (await request(upstream.url + "/health")).json == {"status": "ok"}
        upstream.health = steps.loading()
        assert (await request(upstream.url + "/health")).status == 503
        assert (await request(upstream.url + CHAT, chat())).numbers == [0, 1]
        assert (len(upstream.requests), len(upstream.probes)) == (2, 2)


async def test_chunked_request_bodies_and_continue() -> None:
    async with ScriptedUpstream() as upstream:
        data = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
            b"expect: 100-continue\r\nconnection: close\r\n\r\n"
            b'2\r\n{"\r\n9\r\nmodel": 1\r\n1\r\n}\r\n0\r\n\r\n'
        )
        got = await client.raw(upstream.host, upstream.port, data)
        assert re.match(rb"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", got)
        assert upstream.requests[0].json == {"model": 1}


async def test_many_connections_at_once() -> None:
    async with ScriptedUpstream(default=Answer(words=20, interval=0.002)) as upstream:
        answers = await asyncio.gather(*(request(upstream.url + CHAT, chat()) for _ in range(100)))
        assert [fault(answer.text, 20) for answer in answers] == [None] * 100
