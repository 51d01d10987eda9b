"""The byte-offset property over real sockets, sampled; every offset is tried without them (tests/unit/router/test_cuts.py)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import client
from testbed.upstream.counting import counted
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Raw, Step
from tests.support.cuts.authors import RULES, Author
from tests.support.cuts.judge import judge
from tests.support.cuts.streams import Recorded, openai, recorded, vllm
from tests.support.cuts.world import HOWS, How, cut

SEED = 20261121
SAMPLES = 12  # per rule
AT_ONCE = 6
MAY_FAIL = ("anchor after a preamble", "anchor said twice", "anchor in quotes, then anew", "says something else", "off")
STREAMS = (
    recorded("llama.cpp"),
    recorded("vLLM"),
    openai(),
    openai().reframed("OpenAI, CRLF", 41, b"\r\n"),
    openai().reframed("OpenAI, ended by the connection", None, chunked=False),
    vllm(tuple(counted(1, first) for first in range(16))),
    vllm((" 0000", " 0001"), reasoning=("Let", " me", " count")),
)
_ENDS: dict[How | None, Any] = {"rst": "rst", "stall": "stall", None: "continue"}


def sample(folder: Path, manner: str, chance: random.Random) -> tuple[str, Recorded, list[Step], Author, Path]:
    stream = chance.choice(STREAMS)
    at, how = chance.randrange(len(stream.wire) + 1), chance.choice(HOWS)
    pieces, end = cut(stream, at, how, 1)
    steps: list[Step] = [Raw(b"".join(pieces), _ENDS.get(end, "fin"))]
    author = Author(manner, stream.wanted.text, stream.wanted.reasoning)
    name = f"{stream.name} cut at byte {at} of {len(stream.wire)} by {how}"
    place = folder / str(chance.getrandbits(60))
    place.mkdir()
    return name, stream, steps, author, place


@contextlib.asynccontextmanager
async def router_of(steps: list[Step], author: Author, folder: Path) -> AsyncIterator[RunningRouter]:
    """Runs a router before a house that breaks off as `steps` say, and a cloud; both write on as the author does."""

    def writes_on(received: Any) -> Step | None:
        return Raw(author.respond(received.json), "continue") if received.method == "POST" else None

    def breaks_once(received: Any) -> Step | None:
        return steps.pop() if received.method == "POST" and steps else writes_on(received)

    async with ScriptedUpstream(choose=breaks_once) as one, ScriptedUpstream(choose=writes_on) as two:
        backends = [
            house(one.base_url, continuation=author.continuation),
            cloud(two.base_url, continuation=author.continuation),
        ]
        content = config(*backends, failover={"stallSeconds": 0.4, "firstTokenSeconds": 0.6})
        async with RunningRouter(folder, content) as router:
            yield router


async def run(name: str, stream: Recorded, steps: list[Step], author: Author, folder: Path, whole: bool) -> str:
    async with router_of(steps, author, folder) as router:
        body: dict[str, Any] = {"model": "counting", "messages": [{"role": "user", "content": "count"}]}
        body |= {} if whole else {"stream": True, **stream.request}
        data = json.dumps(body).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        got = await client.raw("127.0.0.1", router.router.listen_port, head % len(data) + data, within=15)
    judged = judge(got, stream.wanted)
    assert judged.verdict in ("whole", "error"), f"{name}, continued by {author.manner!r}: {judged.why}"
    return judged.verdict if judged.verdict == "whole" or "noise" not in name else "noise"


@pytest.mark.parametrize("manner", [manner for manner in RULES if not manner.startswith("does not know")])
async def test_a_stream_cut_anywhere_is_whole_or_says_so(tmp_path: Path, manner: str) -> None:
    chance = random.Random(f"{SEED} {manner}")
    seen: Counter[str] = Counter()
    for _ in range(SAMPLES // AT_ONCE):
        samples = [sample(tmp_path, manner, chance) for _ in range(AT_ONCE)]
        seen.update(await asyncio.gather(*(run(*each, whole=False) for each in samples)))
    assert seen["error"] == 0 or manner in MAY_FAIL, seen


async def test_an_answer_that_is_no_stream_for_the_client_is_whole(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for _ in range(4):
        samples = [sample(tmp_path, "prefill", chance) for _ in range(AT_ONCE)]
        assert set(await asyncio.gather(*(run(*each, whole=True) for each in samples))) == {"whole"}
