"""What one engine began, the other one finishes: both really run, and are killed in the middle of streams."""

from __future__ import annotations

import asyncio
import random
import time

import httpx
import pytest

from e2e.cut import Cut
from e2e.load import ask
from e2e.vllm.pair import LLAMA, VLLM, Pair

pytestmark = pytest.mark.timeout(900)
TOKENS = 900
SEED = 20261121
LLAMA_KILLS, LLAMA_STREAMS = 6, 5  # it is back within a second
VLLM_KILLS, VLLM_STREAMS = 2, 13  # it needs half a minute or more
HITS_AT_LEAST = 25  # of each; where kills find too few streams running, there are more of them


async def until_first(pair: Pair, model: str, seconds: float = 120) -> None:
    """Waits until the router gives a route's first choice another chance."""
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        while (answer := await ask(http, pair.router.url, model, 5)).backend != model or answer.problem:
            assert time.monotonic() < deadline, f"{model} did not answer within {seconds:.0f} s: {answer}"
            await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    ("model", "kills", "streams"), [(LLAMA, LLAMA_KILLS, LLAMA_STREAMS), (VLLM, VLLM_KILLS, VLLM_STREAMS)]
)
async def test_streams_survive_kill_9(pair: Pair, model: str, kills: int, streams: int) -> None:
    chance, seen = random.Random(SEED), Cut()
    engine = {LLAMA: pair.llama, VLLM: pair.vllm}[model]
    before, began, done = pair.router.continued(), time.monotonic(), 0
    while done < kills or (done < 2 * kills and pair.router.continued() - before < HITS_AT_LEAST):
        done += 1
        await until_first(pair, model)
        await seen.round(pair.router.url, model, engine.kill, streams=streams, tokens=TOKENS, chance=chance)
        await asyncio.to_thread(engine.restart)
    seen.check()
    continued = pair.router.continued() - before
    by = sorted({answer.backend for answer in seen.answers})
    assert continued >= HITS_AT_LEAST, f"only {continued} streams were cut by {done} kills; {', '.join(by)} answered"
    print(
        f"{model}: {done} kills in {time.monotonic() - began:.0f} s, {continued} streams cut and continued, "
        f"{len(seen.answers)} answers, all whole; cut at {min(seen.moments):.0%} to {max(seen.moments):.0%}"
    )


async def test_vllm_that_is_told_to_end_leaves_no_truncated_answer(pair: Pair) -> None:
    """At SIGTERM vLLM ends running streams with finish_reason `abort`, usage and [DONE], as if they were answers."""
    await until_first(pair, VLLM)
    before, seen, chance = pair.router.continued(), Cut(), random.Random(SEED + 1)
    try:
        told = pair.vllm.tell_to_end
        await seen.round(pair.router.url, VLLM, told, streams=VLLM_STREAMS, tokens=TOKENS, chance=chance)
    finally:
        pair.vllm.kill()
        await asyncio.to_thread(pair.vllm.restart)
    seen.check()
    assert pair.router.continued() - before >= 1, f"no stream was cut; they were {seen.moments} done"
