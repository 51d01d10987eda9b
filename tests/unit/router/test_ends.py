"""What ends an answer: streamed, rebuilt and continued ones agree, whatever a server writes, and whenever it writes it.

Without sockets and without time (tests/support/cuts/world.py). Over real sockets: tests/router/test_stream_ends.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genset.router.dialects.openai.events import DONE
from genset.router.machine.patience import WORKING_SECONDS
from tests.support.cuts.world import SWEEP_SECONDS, How, Play, Server, Site, World

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
NULLS = ("", 0, False, None)
QUESTION = [{"role": "user", "content": "count"}]
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


@dataclass(frozen=True)
class Said:
    """One event: its text, its finish_reason, whether it is the one with the usage, a comment; seconds before it."""

    text: str = ""
    finish: Any = None
    usage: bool = False
    comment: bool = False
    after: float = 0.0

    @property
    def wire(self) -> bytes:
        if self.comment:
            return b": ping\n\n"
        base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        if self.usage:
            return b"data: " + json.dumps({**base, "choices": [], "usage": USAGE}).encode() + b"\n\n"
        delta = {"content": self.text} if self.text else {}
        choice = {"index": 0, "delta": delta, "finish_reason": self.finish}
        return b"data: " + json.dumps({**base, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


#: What may come behind an answer, before [DONE], and is no part of one.
LATE = {
    "an error": b'data: {"error":{"message":"late","code":500}}\n\n',
    "a named error": b"event: error\ndata: late\n\n",
    "an array": b"data: [1]\n\n",
    "half an object": b'data: {"a":\n\n',
    "no JSON": b"data: {oops}\n\n",
    "damage": b'\xff\xfea: {"choices":[]}\n\n',
    "a choice that is none": b'data: {"choices":[3]}\n\n',
}


def is_complete(script: Sequence[Said], end: str) -> bool:
    """The rule: a finish_reason lets an answer be complete if the stream then ends; what comes after it opens it again,
    but for a server that says [DONE]. Garbage ends it, too; an error does not where the server has written on before."""
    finished = open_ = wrote_on = False
    for said in script:
        if said.text:
            open_ = True
            wrote_on = wrote_on or finished
        if said.finish:
            finished, open_ = True, False
    if wrote_on and end in ("an error", "a named error"):
        return False
    return finished and (end == "done" or not open_)


def play(script: Sequence[Said], end: str, size: int) -> Play:
    pieces: list[bytes | float] = [HEAD]
    data = b""
    for said in script:
        if said.after:
            pieces += [*_cut(data, size), said.after]
            data = b""
        data += said.wire
    pieces += _cut(data + (LATE[end] + DONE if end in LATE else DONE if end == "done" else b""), size)
    if end != "rst":
        pieces.append(b"0\r\n\r\n")
    how: How | None = "rst" if end == "rst" else None
    return pieces, how


def _cut(data: bytes, size: int) -> list[bytes]:
    parts = [data[at : at + size] for at in range(0, len(data), size)] if size else [data] if data else []
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]


def ask(*servers: Server, stream: bool = True, usage: bool = True) -> tuple[int, bytes]:
    sites = [Site(f"s{number}", server, "Prefill") for number, server in enumerate(servers)]
    world = World(sites, stall_seconds=30, first_token_seconds=30, max_attempts=len(servers))
    more = {"stream_options": {"include_usage": True}} if usage and stream else {}
    raw = world.run({"model": "counting", "messages": QUESTION, "stream": stream, **more})
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"chunked" in head:
        whole = b""
        while body:
            length, _, body = body.partition(b"\r\n")
            whole, body = whole + body[: int(length, 16)], body[int(length, 16) + 2 :]
        body = whole
    return int(head.split()[1]), body


def without_comments(body: bytes) -> bytes:
    """What is left where the client had to be told that its request is being worked on."""
    return b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b":"))


def texts(body: bytes) -> str:
    found = ""
    for event in without_comments(body).split(b"\n\n"):
        if event.startswith(b"data: {"):
            for choice in json.loads(event[6:]).get("choices") or ():
                found += choice["delta"].get("content") or ""
    return found


AFTER = st.sampled_from([0.0, 0.0, 0.3, 2.6, 4.4])
SAID = st.one_of(
    st.builds(Said, text=st.sampled_from([" a", " b", " c"]), finish=st.sampled_from(NULLS), after=AFTER),
    st.builds(Said, text=st.sampled_from([" d", " e"]), finish=st.just("stop"), after=AFTER),
    st.builds(Said, finish=st.sampled_from(["stop", "length", *NULLS]), after=AFTER),
    st.builds(Said, usage=st.just(True), after=AFTER),
    st.just(Said(comment=True)),
)
SCRIPTS = st.lists(SAID, min_size=1, max_size=8)
ENDS = st.sampled_from(["done", "eof", "rst", "done", "eof", "rst", *LATE])
SLOW = [Said(" a", "stop"), Said(" b", "stop", after=2.6), Said(" c", "stop", after=4.4), Said(" d", "stop", after=4.4)]


@settings(max_examples=250, deadline=None)
@given(SCRIPTS, ENDS, st.sampled_from([0, 0, 7, 64]))
@example(SLOW, "done", 0)
@example(SLOW, "rst", 0)
@example([Said(" a", ""), Said(" b", "")], "rst", 0)
@example([Said(" a"), Said("", "stop"), Said(" b", after=4.4)], "rst", 0)
@example([Said(" a"), Said("", "stop"), Said(" b", after=4.4)], "done", 0)
@example([Said(usage=True), Said(" a"), Said("", "stop")], "eof", 0)
@example([Said(" a"), Said("", "stop"), Said(" b"), Said("", "stop")], "an error", 0)
def test_streamed_rebuilt_and_continued_answers_agree(script: list[Said], end: str, size: int) -> None:
    agree(script, end, size)


@pytest.mark.parametrize("size", [0, 7])
@pytest.mark.parametrize("end", LATE)
def test_what_comes_behind_an_answer_changes_nothing(end: str, size: int) -> None:
    agree([Said(" a"), Said("", "stop")], end, size)
    agree([Said(" a"), Said("", "stop"), Said(usage=True)], end, size)
    agree([Said(" a"), Said("", "stop", after=0.3), Said(comment=True, after=0.3)], end, size)


def agree(script: list[Said], end: str, size: int) -> None:
    complete = is_complete(script, end)
    wanted = "".join(said.text for said in script)

    def server(_: Any) -> Play:
        return play(script, end, size)

    status, body = ask(server)
    assert (status == 200 and body.endswith(DONE)) == complete, "streamed"
    if complete:
        sent = b"".join(said.wire for said in script if not said.comment)
        # The world's clock goes on in sweeps: each pause may last one more.
        waited = sum(said.after + SWEEP_SECONDS * bool(said.after) for said in script) >= WORKING_SECONDS
        assert (without_comments(body) if waited else body) == sent + DONE, "not one byte of ours"
    status, body = ask(server, usage=False)
    assert (status == 200 and body.endswith(DONE)) == complete
    assert b'"total_tokens"' not in body

    status, body = ask(server, stream=False)
    assert (status == 200) == complete, "rebuilt"
    if complete:
        answer = json.loads(body)
        assert answer["choices"][0]["message"]["content"] == wanted
        assert ("usage" in answer) == any(said.usage for said in script), "nothing is made up"

    begun = [Said(" 1"), Said(" 2"), Said(" 3")]
    status, body = ask(lambda _: play(begun, "rst", 0), server)
    assert status == 200 and body.endswith(DONE) == complete, "continued"
    if complete:
        assert texts(body) == " 1 2 3" + wanted
        assert body.count(b'"finish_reason":"') == 1, "the client sees one finish_reason"


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("stream", [True, False])
def test_half_an_event_is_a_break_where_more_text_has_followed_a_finish(how: How, stream: bool) -> None:
    """Of any other server it is half a usage."""
    half = _cut(Said(" c", "stop").wire[:-20], 0)
    for script, complete in (([Said(" a", "stop")], True), ([Said(" a", "stop"), Said(" b", "stop")], False)):
        sent = [*play(script, "rst", 0)[0], *half]
        status, body = ask(lambda _, sent=sent: (sent, how), stream=stream)  # type: ignore[misc]
        assert (status == 200 and (not stream or body.endswith(DONE))) == complete


@pytest.mark.parametrize("silence", [4.0, 6.0])
@pytest.mark.parametrize("told", [True, False])
def test_a_server_that_never_ends_is_waited_for_in_silence(silence: float, told: bool) -> None:
    """5 s after the last event; 10 s while the usage has not come. Comments are no events, and nothing is made up."""
    script = [Said(" a"), Said("", "stop"), *([Said(usage=True)] if told else [])]
    late = Said(" b", "stop", after=silence)

    def server(_: Any) -> Play:
        return play([*script, Said(comment=True, after=silence / 2), Said(" b", "stop", after=silence / 2)], "done", 0)

    status, body = ask(server)
    there = not told or silence < 5
    assert body == b"".join(said.wire for said in [*script, *([late] if there else [])]) + DONE
    assert status == 200 and (b"usage" in body) == told


def test_usage_that_comes_late_is_the_servers_own() -> None:
    status, body = ask(lambda _: play([Said(" a"), Said("", "stop"), Said(usage=True, after=8.0)], "done", 0))
    assert status == 200 and b'"prompt_tokens": 9' in body and body.endswith(DONE)
