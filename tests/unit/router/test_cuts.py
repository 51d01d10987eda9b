"""The byte-offset property: a stream that breaks at any byte, in any way, is whole for the client, or an error is told.

Without sockets and without time (tests/support/cuts/world.py), so that every offset can be tried: recorded streams, all ways to
break, all rules of continuation. Sampled over real sockets in tests/router/test_cut_streams.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from genset.router.dialects.openai.api import Api
from testbed.upstream.counting import counted
from tests.support.cuts.authors import PROMPT, RULES, Author
from tests.support.cuts.judge import Judgement, judge
from tests.support.cuts.streams import PIECES, Recorded, completion, openai, recorded, vllm
from tests.support.cuts.world import HOWS, How, Play, Server, Site, World, cut, writer

QUESTION = [{"role": "user", "content": "count"}]
SLIVER_BYTES = 89
PIECES_OF = (0, 1, SLIVER_BYTES)  # as the server wrote them, all at once, slivers

LLAMA = recorded("llama.cpp")
REAL_VLLM = recorded("vLLM")
VLLM_WORDS = tuple(f" {number:04d}" for number in range(16))
VLLM = vllm(VLLM_WORDS)
THINKING = vllm(texts=(" 0000", " 0001", " 0002"), reasoning=("Let", " me", " count", ".\n"))
OPENAI = openai()

#: Of these every offset is tried; of the others, their variations, every fifth.
EVERYWHERE = (
    "prefill",
    "final message",
    "prefix, repeated by the server",
    "anchor",
    "starts over",
    "refuses the prefill",
    "off",
)
#: An anchor of one or two words is not looked for inside other text; and nobody continues with these.
MAY_FAIL = ("anchor after a preamble", "anchor said twice", "anchor in quotes, then anew", "says something else", "off")


def body(stream: Recorded) -> dict[str, Any]:
    return {"model": "counting", "stream": True, "messages": QUESTION, **stream.request}


def once(play: Play, then: Server) -> Server:
    """Plays this the first time; should it be asked again it is well."""
    plays = [play]
    return lambda request: plays.pop() if plays else then(request)


def author_of(stream: Recorded, manner: str) -> Author:
    return Author(manner, stream.wanted.text, stream.wanted.reasoning)


def run(recorded: Recorded, play: Play, author: Author, **more: Any) -> tuple[Judgement, World]:
    world = World(
        [
            Site("house", once(play, writer(author)), author.continuation),
            Site("cloud", writer(author), author.continuation, "cloud"),
        ]
    )
    return judge(world.run({**body(recorded), **more}), recorded.wanted), world


def cases(stream: Recorded, stride: int = 1) -> Iterable[tuple[int, How, int]]:
    """Offsets; ways to break and sizes of pieces take turns."""
    for number, at in enumerate(range(0, len(stream.wire) + 1, stride)):
        yield at, HOWS[number % len(HOWS)], PIECES_OF[number // len(HOWS) % len(PIECES_OF)]


def product(stream: Recorded) -> Iterable[tuple[int, How, int]]:
    """Every offset in every way."""
    for at in range(len(stream.wire) + 1):
        for number, how in enumerate(HOWS):
            yield at, how, PIECES_OF[(at + number) % len(PIECES_OF)]


def sweep(stream: Recorded, manner: str, tried: Iterable[tuple[int, How, int]]) -> Counter[str]:
    """Never a lie; and where somebody can write on, and no garbage went to the client, the answer is whole."""
    seen: Counter[str] = Counter()
    author = author_of(stream, manner)
    for at, how, pieces in tried:
        got, world = run(stream, cut(stream, at, how, pieces), author)
        told = f"cut at byte {at} of {len(stream.wire)} by {how} (pieces of {pieces}), continued by {manner!r}"
        assert got.verdict in ("whole", "error"), f"{told}: {got.why}\nrequests: {world.requests[1:]}"
        if manner not in MAY_FAIL and how != "noise":
            assert got.verdict == "whole", f"{told}: not continued: {got.why}"
        seen[got.verdict] += 1
    return seen


@pytest.mark.parametrize("manner", [manner for manner in RULES if not manner.startswith("does not know")])
def test_llama_servers_own_bytes_cut_everywhere(manner: str) -> None:
    seen = sweep(LLAMA, manner, cases(LLAMA, 1 if manner in EVERYWHERE else 5))
    assert seen["whole"] > 200
    assert seen["error"] > 0 or manner not in MAY_FAIL


@pytest.mark.parametrize("manner", ["final message", "anchor", "starts over"])
def test_vllms_own_bytes_cut_everywhere(manner: str) -> None:
    sweep(REAL_VLLM, manner, cases(REAL_VLLM))


STARTS_OVER = ("does not know the switch", "does not know the prefill")  # silently


@pytest.mark.parametrize("manner", STARTS_OVER)
def test_a_server_that_does_not_know_how_it_was_asked(manner: str) -> None:
    """It starts over instead of writing on. After five words that is plain; an exact server is believed before."""
    fifth = LLAMA.wire.index(b'" 0005"')
    tried = ((at, HOWS[at % 5], 0) for at in range(fifth, len(LLAMA.wire), 7))
    assert sweep(LLAMA, manner, tried)["whole"] > 300


def test_every_way_to_break_at_every_byte() -> None:
    short = vllm(VLLM_WORDS[:9])
    sweep(short, "prefill", product(short))


CRLF = OPENAI.reframed("OpenAI, CRLF in chunks of 41 bytes", 41, b"\r\n")
CLOSED = OPENAI.reframed("OpenAI, ended by the connection", None, chunked=False)
ONE = VLLM.reframed("vLLM in one chunk", 1 << 20)


@pytest.mark.parametrize("manner", ["prefill", "anchor", "anchor said twice"])
@pytest.mark.parametrize("stream", [OPENAI, CRLF, CLOSED, ONE], ids=lambda stream: stream.name)
def test_other_words_and_frames(stream: Recorded, manner: str) -> None:
    sweep(stream, manner, cases(stream, 4 if manner == "anchor said twice" else 2))


@pytest.mark.parametrize("manner", ["final message", "anchor", "starts over", "refuses the prefill"])
def test_thoughts_stay_apart(manner: str) -> None:
    sweep(THINKING, manner, cases(THINKING))


@pytest.mark.parametrize("manner", ["prefill", "anchor", "starts over"])
def test_the_clients_limit_of_tokens_holds(manner: str) -> None:
    """Twelve tokens were asked for: twelve come, whoever writes them, and the reason is the limit."""
    limited = vllm(VLLM_WORDS[:12])
    last = limited.chunks[-3].replace(b'"finish_reason":"stop"', b'"finish_reason":"length"')
    stream = replace(
        limited,
        chunks=(*limited.chunks[:-3], last, *limited.chunks[-2:]),
        wanted=replace(limited.wanted, finish="length"),
    )
    author = Author(manner, counted(40))
    for at in range(0, len(stream.wire) + 1, 3):
        got, world = run(stream, cut(stream, at, "fin", 0), author, max_tokens=12)
        assert got.verdict == "whole", f"cut at byte {at}: {got.why}\nrequests: {world.requests[1:]}"


def test_legacy_completions_are_continued_by_their_prompt() -> None:
    stream = completion(VLLM_WORDS[:10])
    author = author_of(stream, "anchor")  # no rule matters: the prompt grows
    request = {"model": "counting", "stream": True, "prompt": PROMPT, "max_tokens": 30, **stream.request}
    for at, how, pieces in cases(stream):
        play = once(cut(stream, at, how, pieces), writer(author))
        world = World([Site("house", play), Site("cloud", writer(author))])
        got = judge(world.run(dict(request), Api.COMPLETIONS), stream.wanted)
        assert got.verdict == "whole" or how == "noise", f"cut at byte {at} by {how}: {got.why}"
        assert got.verdict in ("whole", "error"), f"cut at byte {at} by {how}: {got.why}"


@pytest.mark.parametrize("manner", ["prefill", "anchor", "starts over", "prefix, repeated by the server"])
def test_usage_is_one_and_counts_every_token_once(manner: str) -> None:
    """Also where the second author repeats what the client has already."""
    author = author_of(VLLM, manner)
    finish = VLLM.wire.index(b'"finish_reason":"stop"')
    for at in range(0, finish, 7):
        got, _ = run(VLLM, cut(VLLM, at, "rst", 0), author)
        assert got.usage is not None, f"cut at byte {at}: no usage"
        counts = got.usage["completion_tokens"], got.usage["total_tokens"] - got.usage["prompt_tokens"]
        assert counts == (16, 16), f"cut at byte {at}: {got.usage}"


@pytest.mark.parametrize("manner", ["prefill", "anchor", "starts over"])
def test_a_second_cut_while_continuing(manner: str) -> None:
    author = author_of(VLLM, manner)
    seen: Counter[str] = Counter()
    for first in range(500, len(VLLM.wire), 211):
        response: list[bytes] = []

        def measure(request: dict[str, Any], into: list[bytes] = response) -> Play:
            into.append(author.respond(request))
            return [into[0]], None

        World([Site("house", once(cut(VLLM, first, "fin", 0), measure)), Site("cloud", measure)]).run(body(VLLM))
        for second in range(0, len(response[0]) if response else 0, 37):

            def breaks(request: dict[str, Any], at: int = second) -> Play:
                return [author.respond(request)[:at]], "rst" if at % 2 else "fin"

            world = World(
                [
                    Site("house", once(cut(VLLM, first, "fin", 0), writer(author)), author.continuation),
                    Site("second", breaks, author.continuation, "cloud"),
                    Site("third", writer(author), author.continuation, "cloud"),
                ]
            )
            got = judge(world.run(body(VLLM)), VLLM.wanted)
            assert got.verdict == "whole", f"cut at {first}, then at {second}: {got.why}"
            seen[got.verdict] += 1
    assert seen["whole"] > 500


def test_more_cuts_than_are_continued_end_in_an_error() -> None:
    """Everybody breaks after two more words: the client is told, and has no gap in what it got."""
    author = author_of(VLLM, "prefill")

    def breaks(request: dict[str, Any]) -> Play:
        response = author.respond(request)
        ends = [at for at in range(len(response)) if response.startswith(b"\n\ndata:", at)]
        return [response[: ends[3] + 2]], "fin"

    world = World([Site(name, breaks, "Prefill") for name in ("house", "second", "third", "fourth")])
    got = judge(world.run(body(VLLM)), VLLM.wanted)
    assert (got.verdict, len(world.requests)) == ("error", 3), got


@pytest.mark.parametrize("stream", [LLAMA, REAL_VLLM, THINKING, CRLF, CLOSED], ids=lambda stream: stream.name)
def test_an_answer_that_is_no_stream_for_the_client_is_always_whole(stream: Recorded) -> None:
    """It is called upstream as a stream and rebuilt; the client has seen nothing when that breaks."""
    wanted = replace(stream, request={})
    author = author_of(stream, "prefill")
    for at, how, pieces in cases(stream, 3):
        got, world = run(wanted, cut(stream, at, how, pieces), author, stream=False)
        assert world.requests[0][1]["stream"] is True
        assert got.verdict == "whole", f"cut at byte {at} by {how}: {got.why}"


@pytest.mark.parametrize("stream", [LLAMA, OPENAI], ids=lambda stream: stream.name)
def test_bytes_that_changed_on_their_way_are_never_hidden(stream: Recorded) -> None:
    """Three bytes that are no UTF-8 stand in place of others, and the stream goes on. An event that is no JSON any more
    may pass where it still looks like one: then the client's own parser stops, and no [DONE] makes it good."""
    author = author_of(stream, "prefill")
    seen: Counter[str] = Counter()
    wire = stream.wire
    for at in range(len(stream.head), len(wire) - 3, 2):
        data = wire[:at] + b"\xff\xfe\xff" + wire[at + 3 :]
        got, _ = run(stream, ([data], "fin"), author)
        assert got.verdict != "lie", f"changed at byte {at}: {got.why}"
        seen[got.verdict] += 1
    assert seen["whole"] > 100 and seen["error"] + seen["damaged"] > 100


def test_the_pieces_hold_characters_of_every_length() -> None:
    assert {len(character.encode()) for character in "".join(PIECES)} == {1, 2, 3, 4}
