"""Upstreams that send anything: the client sees a whole answer, an error status or an error inside its stream.

Never a hang, a connection that is cut, an exception in the router, or an answer that ends early and looks complete.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import Response, chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Raw
from testbed.upstream.wire import Asked, plain_body, stream_events

WORDS = 6
ASKED = Asked.of("/v1/chat/completions", chat(model="small"))
STREAM = stream_events(Answer(words=WORDS), ASKED, "1").whole
BODY = plain_body(Answer(words=WORDS), ASKED, "1")
EVENTS = [event + b"\n\n" for event in STREAM.split(b"\n\n") if event]
How = Literal["fin", "rst", "stall"]
Place = Literal[
    "alone", "first", "second"
]  # of the hostile backend; as the second one it may write on from a cut answer

HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 206 Partial Content\r\ncontent-type: text/event-stream\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n",
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n",
    b"HTTP/1.1 401 No\r\n",
    b"HTTP/1.1 429 Slow\r\nretry-after: nan\r\n",
    b"HTTP/1.1 429 Slow\r\nretry-after: Thu, 99 Foo 2026 99:99:99 GMT\r\n",
    b"HTTP/1.1 500 Oops\r\n",
    b"HTTP/1.1 503 Oops\r\nretry-after: -1e999\r\n",
    b"HTTP/1.1 999 What\r\n",
    b"HTTP/2 200\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"",
]  # fmt: skip
MORE = [
    b"content-encoding: gzip\r\n", b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"x: \xff\xfe\r\n",
    b"x-genset-backend: liar\r\n", b"transfer-encoding: gzip\r\n", b"content-length: 3\r\n", b"set-cookie: a=b\r\n",
    b"x: " + b"a" * 70_000 + b"\r\n", b"x: 1\r\n" * 300, b"trailer: x\r\n", b"bad header\r\n", b"\r\n", b"x:\r\n folded\r\n",
]  # fmt: skip

QUICK = Timeouts(finish=0.5, usage=1.0)  # an upstream that falls silent behind its finish_reason is not waited for long


def data(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


FRAGMENTS = [
    b"data: [DONE]\n\n", b"data: {", b"}\n\n", b"\n\n", b"\r\n\r\n", b"\r", b": comment\n\n", b"event: error\n", b"data:\n\n",
    b"retry: 5\n\n", b"id: 7\n\n", b"error: {\"message\": \"x\"}\n\n", b"\xef\xbb\xbf", b"\xff\xfe\x00", b"garbage\n\n",
    b"data: null\n\n", b"data: []\n\n", b"data: 7\n\n", b"data: \"x\"\n\n", b"data: {}\n\n", b"data: {oops}\n\n",
    data('{"choices":null}'), data('{"choices":[null]}'), data('{"choices":["x"]}'), data('{"choices":{"a":1}}'),
    data('{"choices":[{"index":"x","delta":{"content":"y"}}]}'), data('{"choices":[{"index":[],"delta":null}]}'),
    data('{"choices":[{"index":0,"delta":[],"finish_reason":{}}]}'), data('{"choices":[{"index":0,"finish_reason":[1]}]}'),
    data('{"choices":[{"index":0,"delta":{"content":7},"finish_reason":null}]}'),
    data('{"choices":[{"index":0,"delta":{"content":["x"],"reasoning_details":7},"finish_reason":null}]}'),
    data('{"choices":[{"index":0,"delta":{"tool_calls":7},"finish_reason":null}]}'),
    data('{"choices":[{"index":0,"delta":{"role":[1],"reasoning":{"a":1}},"finish_reason":null}]}'),
    data('{"choices":[{"index":9,"delta":{"content":"other"},"finish_reason":"stop"}]}'),
    data('{"choices":[{"index":0,"text":7,"finish_reason":null}]}'),
    data('{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":"x"}}'),
    data('{"choices":[],"usage":{"prompt_tokens":1e400,"completion_tokens":123456789012345678901234567890}}'),
    data('{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}'), data('{"error":null}'), data('{"error":[]}'),
    data('{"error":{"message":{"a":1},"code":"x","status":true}}'), data('{"error":"boom"}'), data('{"id":{"a":[1]}}'),
    data("[" * 2000), data('{"a":' * 2000 + "1" + "}" * 2000),
    b"data: " + b"x" * 300_000 + b"\n\n", b"data: {\"a\":\"" + b"x" * 300_000 + b"\"}\n\n",
]  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """What an upstream sends, and then does. `only_cut`: a good answer of which merely the end is missing."""

    raw: bytes
    how: How
    only_cut: bool = False


@dataclass(frozen=True)
class Upstreams:
    """`cut` breaks off after two words."""

    hostile: ScriptedUpstream
    good: ScriptedUpstream
    cut: ScriptedUpstream


def chunked(body: bytes, sizes: list[int]) -> bytes:
    """HTTP chunks of these sizes in turns, with the last one."""
    out: list[bytes] = []
    position = 0
    while position < len(body):
        piece = body[position : position + (sizes[len(out) % len(sizes)] if sizes else len(body))]
        out.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        position += len(piece)
    return b"".join(out) + b"0\r\n\r\n"


Framing = st.sampled_from(["chunked", "close", "length"])
SIZES = st.lists(st.integers(1, 200), max_size=6)
HOWS: st.SearchStrategy[How] = st.sampled_from(["fin"] * 5 + ["rst"] * 4 + ["stall"])
GOOD_HEAD = HEADS[0]


def framed(head: bytes, body: bytes, framing: str, sizes: list[int]) -> bytes:
    if framing == "chunked":
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunked(body, sizes)
    if framing == "length":
        return head + b"content-length: %d\r\n\r\n" % len(body) + body
    return head + b"\r\n" + body


@st.composite
def cut_answers(draw: st.DrawFn) -> Sent:
    """A good stream in any framing, cut anywhere, the head included."""
    raw = framed(GOOD_HEAD, STREAM, draw(Framing), draw(SIZES))
    return Sent(raw[: draw(st.integers(0, len(raw)))], draw(HOWS), only_cut=True)


@st.composite
def mutated_answers(draw: st.DrawFn) -> Sent:
    """A stream with events left out, repeated, swapped and put in, bytes changed; framed well or badly; cut."""
    events = list(draw(st.lists(st.one_of(st.sampled_from(EVENTS), st.sampled_from(FRAGMENTS)), max_size=8)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(EVENTS)))
        events = [*EVENTS[:at], *events, *EVENTS[draw(st.integers(0, len(EVENTS))) :]]
    body = bytearray(b"".join(events))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3)):
        if body:
            body[place % len(body)] = value
    raw = framed(draw(st.sampled_from(HEADS[:5])), bytes(body), draw(Framing), draw(SIZES))
    raw = raw[: draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    return Sent(raw, draw(HOWS))


@st.composite
def strange_answers(draw: st.DrawFn) -> Sent:
    """Any head with any body."""
    head = draw(st.sampled_from(HEADS)) + b"".join(draw(st.lists(st.sampled_from(MORE), max_size=2)))
    body = draw(
        st.one_of(st.sampled_from([BODY, STREAM, b"", b"{}", b"{", b'{"error":7}', b"null"]), st.binary(max_size=60))
    )
    return Sent(framed(head, body, draw(Framing), draw(SIZES)), draw(HOWS))


HOSTILE = st.one_of(cut_answers(), mutated_answers(), strange_answers(), st.builds(Sent, st.binary(max_size=200), HOWS))


def judge(answer: Response, sent: Sent, place: Place) -> None:
    """What a client must never see."""
    assert answer.ended == "clean", f"the answer ended {answer.ended}: {answer.body[-200:]!r}"
    if answer.status != 200:
        assert answer.status >= 400, answer
        known = answer.status in (400, 413, 422, 501)
        assert place != "first" or known, f"another backend would have answered: {answer.body!r}"
    elif answer.error is not None:
        assert not answer.done, f"an error that looks complete: {answer.body!r}"
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.done, f"a stream that ended in silence: {answer.body!r}"
    if sent.only_cut and answer.status == 200 and answer.error is None:
        assert answer.complete and fault(answer.text, WORDS) is None, f"a truncated success: {answer.text!r}"


def test_whatever_upstreams_send_clients_see_a_whole_answer_or_an_error(tmp_path: Path) -> None:
    now: list[Raw] = []
    count = 0

    async def one(router: RunningRouter, upstreams: Upstreams, sent: Sent, stream: bool, place: Place) -> None:
        nonlocal count
        count += 1  # fresh backends each time: no breaker, nothing learnt
        now[:] = [Raw(sent.raw, sent.how)]
        hostile = upstreams.hostile
        bad, good, cut = (
            backend(upstream.base_url, f"{name}{count}")
            for name, backend, upstream in (
                ("hostile", house, hostile), ("good", cloud, upstreams.good), ("cut", house, upstreams.cut),
            )
        )  # fmt: skip
        backends = {"alone": [bad], "first": [bad, good], "second": [cut, bad]}[place]
        failover = {"maxAttempts": len(backends) + 1, "firstTokenSeconds": 0.3, "stallSeconds": 0.3}
        router.write(config(*backends, failover=failover, generation=count))
        await router.router.reload()
        asked = len(hostile.requests)
        answer = await router.ask(chat(stream=stream), within=8)
        assert len(hostile.requests) > asked, "the hostile backend was not asked"
        judge(answer, sent, place)
        await until(lambda: not router.exchanges)
        assert router.gate.in_flight == 0
        for backend in router.table.backends.values():
            assert [endpoint.in_flight for endpoint in backend.endpoints] == [0]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def setup() -> tuple[RunningRouter, Upstreams]:
            hostile = await ScriptedUpstream(choose=lambda received: now[0]).__aenter__()
            good = await ScriptedUpstream(default=Answer(words=WORDS)).__aenter__()
            cut = Answer(words=WORDS, brk=Break("fin", after_chunks=2))
            ill = await ScriptedUpstream(default=cut).__aenter__()
            router = await RunningRouter(
                tmp_path, config(house(hostile.base_url)), bounds=Bounds(attempts=QUICK)
            ).__aenter__()
            return router, Upstreams(hostile, good, ill)

        async def teardown() -> None:
            await router.__aexit__()
            for upstream in (upstreams.hostile, upstreams.good, upstreams.cut):
                await upstream.kill()

        router, upstreams = runner.run(setup())
        problems: list[Any] = []
        runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))

        class Errors(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.exc_info:
                    problems.append(record.exc_info)

        errors = Errors(logging.ERROR)
        logging.getLogger("genset").addHandler(errors)

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(sent=HOSTILE, stream=st.booleans(), place=st.sampled_from(["alone", "first", "second"]))
        @example(sent=Sent(framed(GOOD_HEAD, STREAM, "chunked", []), "fin", True), stream=True, place="alone")
        @example(
            sent=Sent(framed(GOOD_HEAD, EVENTS[0] + EVENTS[1] + steps.in_band_error(), "chunked", []), "fin"),
            stream=True,
            place="alone",
        )
        def fuzz(sent: Sent, stream: bool, place: Place) -> None:
            problems.clear()
            runner.run(one(router, upstreams, sent, stream, place))
            assert not problems, f"the router saw {problems}"

        try:
            fuzz()
        finally:
            logging.getLogger("genset").removeHandler(errors)
            runner.run(teardown())
