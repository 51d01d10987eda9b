"""The byte-offset property of answers that pass in the client's own API: whole, or it is told, wherever they break.

Claude answers a Messages client, and OpenAI a Responses client, in their own events; the house writes on what breaks off.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from genset.contracts.backend_config import UrlTarget
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.dialects.openai.api import Api
from testbed.upstream.claude import HEAD, Told
from testbed.upstream.responses import Said
from tests.support.cuts.authors import Author
from tests.support.cuts.judge import Wanted
from tests.support.cuts.streams import PIECES, Recorded
from tests.support.cuts.world import Play, Server, Site, World, cut, writer
from tests.unit.router.test_claude_cuts import cases

WORDS = tuple(f" {number:04d}" for number in range(8))
THOUGHTS = ("Let", " me", " count.")


class Seen(NamedTuple):
    """What the client of an API makes of an answer. `verdict`: "whole", "told", or the status."""

    verdict: str
    text: str
    why: str = ""


class Case(NamedTuple):
    """One API: where it is asked, how, who answers it, and what a client sees."""

    path: str
    provider: str
    api: str | None
    body: dict[str, Any]
    seen: Callable[[list[dict[str, Any]], bool], Seen]


def of_messages(events: list[dict[str, Any]], ended: bool) -> Seen:
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
    open_, opened = None, 0
    for event in events:
        if event["type"] == "content_block_start":
            assert open_ is None and event["index"] == opened, f"block {event['index']} while {open_} is open"
            open_, opened = event["index"], opened + 1
        elif event["type"] in ("content_block_delta", "content_block_stop"):
            assert event["index"] == open_, f"{event} outside its block"
            open_ = None if event["type"] == "content_block_stop" else open_
    assert kinds.count("message_start") == 1 and kinds[0] == "message_start", kinds
    if kinds[-1] == "error":
        assert not ended and "message_delta" not in kinds, kinds
        return Seen("told", text)
    assert kinds[-2:] == ["message_delta", "message_stop"] and ended and open_ is None, kinds
    return Seen("whole", text)


def of_responses(events: list[dict[str, Any]], ended: bool) -> Seen:
    kinds = [event["type"] for event in events]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert [event["sequence_number"] for event in events] == list(range(len(events))), kinds
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1, kinds
    if kinds[-1] == "response.failed":
        assert not ended, kinds
        return Seen("told", text)
    assert kinds[-1] == "response.completed" and ended, kinds
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done"), kinds
    items = events[-1]["response"]["output"]
    assert len(items) == kinds.count("response.output_item.done"), events[-1]
    assert "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]) == text
    return Seen("whole", text)


MESSAGES = Case(
    "/messages", "anthropic", None,
    {"model": "counting", "stream": True, "max_tokens": 999, "messages": [{"role": "user", "content": "count"}]}, of_messages,
)  # fmt: skip
RESPONSES = Case(
    "/responses", "openai", "Responses", {"model": "counting", "stream": True, "input": "count"}, of_responses
)


def seen(case: Case, raw: bytes) -> Seen:
    head, _, rest = raw.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1].decode()
    if status != "200":
        return Seen(status, "")
    body, ended = b"", False
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        ended = size == b"0"
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    lines = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
    return case.seen([json.loads(line[6:]) for line in lines], ended)


def run(case: Case, stream: Recorded, play: Play, author: Author) -> tuple[Seen, World]:
    plays = [play]
    server: Server = lambda request: plays.pop() if plays else ([], "rst")  # noqa: E731
    site = Site("cloud", server, "Anchor", "cloud", case.provider, "m")
    world = World([site, Site("house", writer(author), author.continuation)], max_attempts=4)
    if case.api is not None:
        _speaks(world, case)
    got = seen(case, world.run(case.body, Api(case.path, "", "")))
    return got, world


def _speaks(world: World, case: Case) -> None:
    """Has the cloud asked by another API of its provider."""
    backend = world._backends["cloud"]
    url = UrlTarget(base_url="http://cloud.test/v1", provider=case.provider, api="Responses")
    config = backend.config.model_copy(update={"url": url})
    world._backends["cloud"] = Backend(config, Credentials({}, "nowhere"), lambda: 0.5)
    table = world.reception.table
    assert table is not None
    world.reception.take(type(table)(table.config, world._backends, "hash"), table.config.limits)


def claude(texts: tuple[str, ...], thoughts: tuple[str, ...] = ()) -> Recorded:
    told = Told(texts=texts, thoughts=thoughts, signature="")
    return Recorded("Claude", HEAD, told.events(), Wanted("".join(texts), "".join(thoughts)))


def gpt(texts: tuple[str, ...], thoughts: tuple[str, ...] = ()) -> Recorded:
    said = Said(texts=texts, thoughts=thoughts)
    return Recorded("GPT", HEAD, said.events(), Wanted("".join(texts), "".join(thoughts)))


STREAMS = {
    "messages": (MESSAGES, claude(WORDS)), "messages, odd texts": (MESSAGES, claude(PIECES)),
    "messages, thoughts": (MESSAGES, claude(WORDS[:3], THOUGHTS)),
    "messages, CRLF": (MESSAGES, claude(WORDS).reframed("CRLF", 41, b"\r\n")),
    "responses": (RESPONSES, gpt(WORDS)), "responses, thoughts": (RESPONSES, gpt(WORDS[:3], THOUGHTS)),
}  # fmt: skip


@pytest.mark.parametrize("manner", ["prefill", "anchor", "starts over"])
@pytest.mark.parametrize("name", STREAMS)
def test_an_answer_cut_anywhere_is_whole_or_says_so(name: str, manner: str) -> None:
    case, stream = STREAMS[name]
    author = Author(manner, stream.wanted.text, stream.wanted.reasoning)
    counted: Counter[str] = Counter()
    for at, how, pieces in cases(stream, 7 if (name, manner) == ("messages", "prefill") else 29):
        told = f"cut at byte {at} of {len(stream.wire)} by {how} (pieces of {pieces})"
        try:
            got, world = run(case, stream, cut(stream, at, how, pieces), author)
        except AssertionError as problem:
            raise AssertionError(f"{told}: {problem}") from problem
        assert got.verdict in ("whole", "told"), f"{told}: {got}\n{world.requests}"
        wanted = stream.wanted.text
        assert got.text == wanted if got.verdict == "whole" else wanted.startswith(got.text), f"{told}: {got}"
        counted[got.verdict] += 1
    assert counted["whole"] > counted["told"], counted
