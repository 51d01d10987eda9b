"""Silences whose cause is work, over real sockets: what is waited for, and what the client of a stream hears meanwhile."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genset.router.backends.deadlines import AnswerTimeouts
from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat, raw
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Silence
from tests.support.router.pieces import DONE, HEAD, PING, FakeServer, chunk, event, text

#: A second lasts a thirtieth of one: first token 0.5 s, stall 0.33 or 0.5 s, signs of life after 0.33 s.
QUICK = AnswerTimeouts(first_token=0.5, stall_local=0.33, stall_cloud=0.5)


def running(
    folder: Path, content: dict[str, Any], life_most: float = 4.0, answers: AnswerTimeouts = QUICK, **more: float
) -> RunningRouter:
    attempts = Timeouts(life_most=life_most, working=0.33, comment=0.16, **more)
    return RunningRouter(folder, content, bounds=Bounds(attempts=attempts, answers=answers))


async def bytes_of(router: RunningRouter, within: float = 10.0, **more: Any) -> tuple[bytes, bytes]:
    """Head and body of a streamed answer as the client gets it, without the framing of chunks."""
    body = json.dumps(chat(**more)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    data = await raw("127.0.0.1", router.router.listen_port, head + body, within)
    head, _, rest = data.partition(b"\r\n\r\n")
    out = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        out += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return head, out


def without_comments(body: bytes) -> bytes:
    """What a reader of event streams sees (WHATWG HTML, 9.2.6); a comment that is no line of its own stays."""
    return re.sub(rb"(?m)^: [^\n]*\n", b"", body)


STREAM = (text("a"), text("b"), event({}, "stop"), DONE)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("headers", [True, False])
async def test_a_silent_server_is_waited_for_where_nobody_else_is(tmp_path: Path, stream: bool, headers: bool) -> None:
    slow = Answer(first_delay=1.5) if headers else Answer(header_delay=1.5)
    async with (
        ScriptedUpstream(default=slow) as local,
        running(tmp_path, config(house(local.base_url))) as router,
    ):
        answer = await router.ask(chat(stream))
        assert answer.complete and fault(answer.text, 10) is None, answer
        assert len(local.requests) == 1
        assert (await router.state("house"))["breaker"]["state"] == "closed"


async def test_a_route_that_says_how_long_is_obeyed(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as local:
        async with running(tmp_path, config(house(local.base_url), failover={"firstTokenSeconds": 1})) as router:
            answer = await router.ask(chat(False))
        assert answer.status == 504 and len(local.requests) == 1, answer


async def test_another_backend_is_asked_in_time(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as local, ScriptedUpstream() as other:
        async with running(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.ended_at is not None and answer.ended_at - answer.started < 2.0


LIFE: dict[str, Sequence[bytes]] = {
    "comments": (PING,),
    "empty deltas": (event({"role": "assistant", "content": ""}), event({}), event({"content": None})),
    "progress of the prompt": (b'data: {"choices":[],"prompt_progress":{"total":9,"processed":1}}\n\n',),
    "an event in pieces": (text("a")[:20], text("a")[20:25], text("a")[25:30]),
    "blank lines": (b"\n",),
}


@pytest.mark.parametrize("row", LIFE)
async def test_signs_of_life_keep_the_request_where_it_is(tmp_path: Path, row: str) -> None:
    pieces: list[bytes | float] = [HEAD]
    for number in range(6):
        signs = LIFE[row]
        if len(signs) > 1 and number >= len(signs) and row == "an event in pieces":
            break
        pieces += [0.3, chunk(signs[number % len(signs)])]
    rest = text("a")[30:] if row == "an event in pieces" else text("a")
    pieces += [chunk(rest), *(chunk(part) for part in STREAM[1:]), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, ScriptedUpstream() as other:
        async with running(tmp_path, config(house(server.url), cloud(other.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.text == "ab" and answer.complete and server.asked == 1 and not other.requests, answer


async def test_signs_of_life_without_an_answer_end(tmp_path: Path) -> None:
    pieces = [HEAD, *([0.1, chunk(PING)] * 100)]
    async with FakeServer(*pieces).running() as server, ScriptedUpstream() as other:
        async with running(tmp_path, config(house(server.url), cloud(other.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.complete and len(other.requests) == 1
        assert answer.ended_at is not None and 3.8 < answer.ended_at - answer.started < 6.0


async def test_events_without_a_token_do_not_keep_a_stream_for_ever(tmp_path: Path) -> None:
    empty = [part for _ in range(200) for part in (0.1, chunk(event({"content": ""})))]
    async with FakeServer(HEAD, chunk(text("a")), *empty).running() as server, ScriptedUpstream() as other:
        second = cloud(other.base_url, continuation="Prefill")
        async with running(tmp_path, config(house(server.url), second), life_most=1.0) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.text.startswith("a") and len(other.requests) == 1
        assert (
            answer.ended_at is not None and answer.ended_at - answer.started < 12.0
        )  # twice the 4 s, and a busy machine


async def test_slow_tokens_are_tokens(tmp_path: Path) -> None:
    patient = replace(QUICK, stall_local=2.0)
    slow = [part for _ in range(16) for part in (0.25, chunk(text("b")))]
    pieces = [HEAD, *slow, chunk(event({}, "stop")), chunk(DONE), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, ScriptedUpstream() as other:
        content = config(house(server.url), cloud(other.base_url))
        async with running(tmp_path, content, life_most=1.0, answers=patient) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.text == "b" * 16 and not other.requests


@pytest.mark.parametrize("how", ["pings", "silent"])
async def test_a_buffered_tool_call_is_waited_for(tmp_path: Path, how: str) -> None:
    """With signs of life nobody is given up; without them not where an open call keeps everybody else from writing on."""
    call = event(
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}
    )
    more = event({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
    wait: list[bytes | float] = [0.3, chunk(PING)] * 5 if how == "pings" else [1.5]
    pieces = [HEAD, chunk(call), *wait, chunk(more), chunk(event({}, "tool_calls")), chunk(DONE), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, ScriptedUpstream() as other:
        async with running(tmp_path, config(house(server.url), cloud(other.base_url))) as router:
            head, body = await bytes_of(router)
        assert b"200 OK" in head and server.asked == 1 and not other.requests
        assert without_comments(body) == call + more + event({}, "tool_calls") + DONE
        assert b": working\n" in body


async def test_a_stall_is_not_answered_by_asking_the_same_server_again(tmp_path: Path) -> None:
    broken = Answer(brk=Break("stall", after_chunks=3))
    async with ScriptedUpstream(default=broken) as local:
        async with running(tmp_path, config(house(local.base_url), failover={"stallSeconds": 1})) as router:
            answer = await router.ask(chat())
        assert answer.error is not None and answer.error["code"] == "provider_stalled" and not answer.done
        assert len(local.requests) == 1


async def test_a_stream_that_waits_hears_single_lines_from_the_beginning(tmp_path: Path) -> None:
    pieces = [1.2, HEAD, chunk(STREAM[0]), *(chunk(part) for part in STREAM[1:]), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, running(tmp_path, config(house(server.url))) as router:
        head, body = await bytes_of(router)
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
    assert body.startswith(b": working\n: working\n") and b"\n\n\n" not in body
    assert b": x-genset-backend: house; x-genset-tier: 0\ndata: {" in body
    assert without_comments(body) == b"".join(STREAM)


async def test_a_quick_stream_has_not_one_byte_of_ours(tmp_path: Path) -> None:
    pieces = [HEAD, *(part for piece in STREAM[:3] for part in (0.1, chunk(piece))), chunk(DONE), b"0\r\n\r\n"]
    async with FakeServer(*pieces).running() as server, running(tmp_path, config(house(server.url))) as router:
        head, body = await bytes_of(router)
    assert b"x-genset-backend: house" in head and body == b"".join(STREAM)


async def test_failover_stays_possible_behind_an_early_head(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as local, ScriptedUpstream() as other:
        async with running(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            answer = await router.ask(chat())
        told = [event.comment for event in answer.events if event.comment]
    assert answer.complete and fault(answer.text, 10) is None and told[0] == "working"
    assert "x-genset-backend" not in answer.headers and "x-genset-backend: cloud" in told[-1]


async def test_a_failure_behind_an_early_head_is_told_in_the_stream(tmp_path: Path) -> None:
    async with FakeServer(0.8, b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").running() as server:
        async with running(tmp_path, config(house(server.url))) as router:
            answer = await router.ask(chat())
        assert answer.status == 200 and answer.ended == "clean" and not answer.done and answer.finish_reason is None
    assert answer.error is not None and answer.error["code"] == "provider_error"
    assert answer.error["partial"] is False, "nothing of an answer was sent"


async def test_who_asks_for_no_stream_hears_nothing_early(tmp_path: Path) -> None:
    async with FakeServer(0.8, b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").running() as server:
        async with running(tmp_path, config(house(server.url))) as router:
            answer = await router.ask(chat(False))
        assert answer.status >= 400 and b": working" not in answer.body


@pytest.mark.parametrize("cut", [1, 9, 60, len(text("b")) - 1])
async def test_comments_stand_between_events_wherever_the_upstream_pauses(tmp_path: Path, cut: int) -> None:
    """The first event goes the readers' way, the second directly, the third stops in its middle."""
    third = text("b")
    pieces = [
        HEAD, chunk(text("a")), 0.1, chunk(text("c")), 0.1, chunk(third[:cut]), 0.9, chunk(third[cut:]), 0.9, chunk(PING), 0.3,
        chunk(event({}, "stop")), chunk(DONE), b"0\r\n\r\n",
    ]  # fmt: skip
    async with FakeServer(*pieces).running() as server, running(tmp_path, config(house(server.url))) as router:
        _, body = await bytes_of(router)
    assert without_comments(body) == text("a") + text("c") + third + event({}, "stop") + DONE
    assert body.count(b": working\n") >= 3, body
    assert all(part.endswith((b"\n\n", b"working\n")) for part in body.split(b": working\n")[:-1] if part)


async def test_a_chunk_cut_in_its_middle_has_no_comment_inside(tmp_path: Path) -> None:
    """Cut in the framing of HTTP, not of events: half of a chunk has arrived."""
    third = chunk(text("b"))
    pieces = [
        HEAD, chunk(text("a")), 0.1, third[:20], 0.9, third[20:], chunk(event({}, "stop")), chunk(DONE), b"0\r\n\r\n",
    ]  # fmt: skip
    async with FakeServer(*pieces).running() as server, running(tmp_path, config(house(server.url))) as router:
        _, body = await bytes_of(router)
    assert body == text("a") + b": working\n" * body.count(b": working\n") + text("b") + event({}, "stop") + DONE
    assert b": working\n" in body


async def test_failing_over_is_told_in_single_lines(tmp_path: Path) -> None:
    broken = Answer(brk=Break("rst", after_chunks=4))
    async with ScriptedUpstream(default=broken) as local, ScriptedUpstream(default=Answer(first_delay=0.4)) as other:
        other_first = config(house(local.base_url), cloud(other.base_url, continuation="Prefill"))
        async with running(tmp_path, other_first) as router:
            _, body = await bytes_of(router)
    assert b": failing over\n" in body and b": failing over\n\n" not in body and body.endswith(DONE)


WHOLE = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
    }
).encode()


def trickle(data: bytes, pieces: int, seconds: float) -> list[bytes | float]:
    """The chunks of a body that comes in so many pieces, with this time between them, and its end."""
    size = -(-len(data) // pieces)
    parts: list[bytes | float] = []
    for at in range(0, len(data), size):
        parts += [chunk(data[at : at + size]), seconds]
    return [*parts, b"0\r\n\r\n"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_whole_answer_that_trickles_is_work(tmp_path: Path, stream: bool, packed: bool) -> None:
    """Also where its bytes are packed, and unpack to nothing yet."""
    coding = b"content-encoding: gzip\r\n" if packed else b""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%btransfer-encoding: chunked\r\n\r\n" % coding
    server = FakeServer(head, *trickle(gzip.compress(WHOLE) if packed else WHOLE, 6, 0.2))
    async with server.running(), ScriptedUpstream() as other:
        content = config(cloud(server.url, "slow"), cloud(other.base_url, "other"))
        async with running(tmp_path, content) as router:
            answer = await router.ask(chat(stream))
            assert (await router.state("slow"))["breaker"]["state"] == "closed"
    assert answer.complete and answer.text == "ab" and not other.requests


async def test_the_client_hears_something_while_a_continuation_repeats_what_it_has(tmp_path: Path) -> None:
    words = [f"word{number} of a song that nobody stops singing, verse {number}; " for number in range(7)]
    broken = FakeServer(HEAD, *[chunk(text(word)) for word in words[:6]], 0.02)
    repeated = [part for word in words for part in (chunk(text(word)), 0.2)]
    anew = FakeServer(HEAD, *repeated, chunk(event({}, "stop")), chunk(DONE), b"0\r\n\r\n")
    async with broken.running(), anew.running():
        content = config(cloud(broken.url, "broken"), cloud(anew.url, "anew"), failover={"maxAttempts": 2})
        async with running(tmp_path, content) as router:
            answer = await router.ask(chat())
    assert answer.complete and answer.text == "".join(words)
    heard = [one.at for one in answer.events]
    assert max(after - before for before, after in itertools.pairwise(heard)) < 0.7
    assert {one.comment for one in answer.events if one.comment} == {"working"}


async def test_the_client_hears_something_while_a_server_takes_its_time_behind_a_finish_reason(tmp_path: Path) -> None:
    """One that puts a finish_reason into every event: the answer may be over, and then nothing is added."""
    parts = [part for word in ("a", "b", "c") for part in (chunk(event({"content": word}, "stop")), 0.9)]
    server = FakeServer(HEAD, *parts, chunk(DONE), b"0\r\n\r\n")
    async with server.running(), running(tmp_path, config(cloud(server.url)), finish=1.5, usage=1.5) as router:
        answer = await router.ask(chat())
    assert answer.complete and answer.text == "abc"
    assert sum(one.comment == "working" for one in answer.events) >= 3
