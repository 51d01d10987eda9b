"""The byte-offset property between Claude and the house: whole for the client, or an error is told, whoever breaks off where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from testbed.upstream.claude import HEAD, Told, mistake_in
from testbed.upstream.counting import counted
from tests.support.cuts.authors import Author
from tests.support.cuts.judge import Judgement, Wanted, judge
from tests.support.cuts.streams import PIECES, USAGE, Recorded, recorded
from tests.support.cuts.world import HOWS, How, Play, Server, Site, World, cut, writer

QUESTION = [{"role": "user", "content": "count"}]
PIECES_OF = (0, 1, 89)
WORDS = tuple(f" {number:04d}" for number in range(16))
LLAMA = recorded("llama.cpp")


def claude(texts: tuple[str, ...], thoughts: tuple[str, ...] = (), **more: Any) -> Recorded:
    """Returns an answer as Anthropic streams it. The thoughts are not signed, so that others may write on."""
    told = Told(texts=texts, thoughts=thoughts, signature="", **more)
    wanted = Wanted("".join(texts), "".join(thoughts), usage=True, thinks_anew=True)
    return Recorded("Claude", HEAD, told.events(), wanted, request=USAGE)


SHORT = claude(WORDS)
ODD = claude(PIECES)
THINKING = claude((" 0000", " 0001", " 0002"), ("Let", " me", " count", ".\n"))
CRLF = ODD.reframed("CRLF in chunks of 41 bytes", 41, b"\r\n")
CLOSED = ODD.reframed("ended by the connection", None, chunked=False)


def body(stream: Recorded) -> dict[str, Any]:
    return {"model": "counting", "stream": True, "messages": QUESTION, **stream.request}


def once(play: Play, then: Server) -> Server:
    plays = [play]
    return lambda request: plays.pop() if plays else then(request)


def cases(stream: Recorded, stride: int = 1) -> Iterable[tuple[int, How, int]]:
    for number, at in enumerate(range(0, len(stream.wire) + 1, stride)):
        yield at, HOWS[number % len(HOWS)], PIECES_OF[number // len(HOWS) % len(PIECES_OF)]


def written_by_claude(author: Author) -> Server:
    """Returns a Claude that says what the author says, and refuses what Anthropic would."""

    def answer(request: dict[str, Any]) -> Play:
        wrong = mistake_in(request, {"anthropic-version": "2026-10-21"})
        assert not wrong, wrong
        messages = [
            {**one, "content": "".join(block["text"] for block in one["content"])} for one in request["messages"]
        ]
        raw = author.respond({"messages": messages, "max_tokens": request["max_tokens"]})
        texts, finish = [], "stop"
        for line in raw.split(b"\n"):
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    texts += [choice["delta"]["content"]] if choice["delta"].get("content") else []
                    finish = choice["finish_reason"] or finish
        reason = {"stop": "end_turn", "length": "max_tokens"}[finish]
        told = Told(texts=tuple(texts), stop_reason=reason, output_tokens=len(texts))
        return [HEAD, *(b"%x\r\n%b\r\n" % (len(one), one) for one in told.events()), b"0\r\n\r\n"], None

    return answer


def site(server: Server) -> Site:
    return Site("claude", server, "Anchor", "cloud", "anthropic", "claude-opus-5")


def from_claude(recorded_: Recorded, play: Play, author: Author, **more: Any) -> tuple[Judgement, World]:
    house = Site("house", writer(author), author.continuation)
    world = World([site(once(play, writer(author))), house], max_attempts=4)
    return judge(world.run({**body(recorded_), **more}), recorded_.wanted), world


@pytest.mark.parametrize("manner", ["prefill", "final message", "anchor", "starts over", "refuses the prefill"])
@pytest.mark.parametrize("stream", [SHORT, ODD, THINKING, CRLF, CLOSED], ids=lambda one: one.name + one.wanted.text[:5])
def test_what_claude_breaks_off_the_house_writes_on(stream: Recorded, manner: str) -> None:
    seen: Counter[str] = Counter()
    author = Author(manner, stream.wanted.text, stream.wanted.reasoning)
    for at, how, pieces in cases(stream, 1 if (stream, manner) == (SHORT, "anchor") else 13):
        got, world = from_claude(stream, cut(stream, at, how, pieces), author)
        told = f"cut at byte {at} of {len(stream.wire)} by {how} (pieces of {pieces})"
        assert got.verdict in ("whole", "error"), f"{told}: {got.why}\nrequests: {world.requests}"
        if how != "noise":
            assert got.verdict == "whole", f"{told}: not continued: {got.why}"
        seen[got.verdict] += 1
    assert seen["whole"] > 30


@pytest.mark.parametrize("manner", ["anchor", "starts over", "anchor after a preamble"])
def test_what_the_house_breaks_off_claude_writes_on(manner: str) -> None:
    author = Author(manner, counted(16))
    for at, how, pieces in cases(LLAMA, 13):
        play = once(cut(LLAMA, at, how, pieces), writer(author))
        world = World([Site("house", play, "Off"), site(written_by_claude(author))])
        got = judge(world.run(body(LLAMA)), LLAMA.wanted)
        told = f"cut at byte {at} by {how}: {got.why}\nrequests: {world.requests[1:]}"
        assert got.verdict in ("whole", "error"), told
        if how != "noise" and manner != "anchor after a preamble":
            assert got.verdict == "whole", told


@pytest.mark.parametrize("stream", [SHORT, THINKING, CLOSED], ids=lambda one: one.name + one.wanted.text[:5])
def test_an_answer_that_is_no_stream_for_the_client_is_always_whole(stream: Recorded) -> None:
    wanted = replace(stream, request={})
    author = Author("prefill", stream.wanted.text, stream.wanted.reasoning)
    for at, how, pieces in cases(stream, 11):
        got, _ = from_claude(wanted, cut(stream, at, how, pieces), author, stream=False)
        assert got.verdict == "whole", f"cut at byte {at} by {how}: {got.why}"


def test_signed_thoughts_are_never_written_on() -> None:
    told = Told(texts=WORDS, thoughts=("Hm",))
    wanted = Wanted("".join(WORDS), "Hm", usage=True)
    stream = Recorded("signed", HEAD, told.events(), wanted, request=USAGE)
    author = Author("prefill", wanted.text, wanted.reasoning)
    first = stream.wire.index(b'"text_delta"')
    last = stream.wire.rindex(b'"text_delta"')
    for at in range(first + 200, last, 7):
        got, world = from_claude(stream, cut(stream, at, "fin", 0), author)
        assert got.verdict == "error", f"cut at byte {at}: {got.why}"
        assert len(world.requests) == 1


def test_a_call_that_breaks_off_is_an_error() -> None:
    """Nobody runs half a call, and nobody writes it on."""
    told = Told(calls=(("toolu_1", "get_weather", ('{"city":', '"Paris"}')),), stop_reason="tool_use")
    stream = Recorded("call", HEAD, told.events(), Wanted("", finish="tool_calls", usage=True), request=USAGE)
    author = Author("prefill", "")
    begun = stream.wire.index(b"tool_use")
    begun = stream.wire.index(b"\n\n", begun) + 4
    ended = stream.wire.index(b"event: message_delta")
    for at in range(begun, ended, 3):
        got, _ = from_claude(stream, cut(stream, at, "fin", 0), author, tools=[])
        assert got.verdict == "error", f"cut at byte {at}: {got.why}"
