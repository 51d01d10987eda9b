"""What one engine began, the other one finishes: both really run, and are killed in the middle of streams."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from e2e.load import Answer, Reading, ask
from e2e.vllm.pair import LLAMA, VLLM, Pair

pytestmark = pytest.mark.timeout(900)
TOKENS = 900
SEED = 20261121
LLAMA_KILLS, LLAMA_STREAMS = 6, 5  # it is back within a second
VLLM_KILLS, VLLM_STREAMS = 2, 13  # it needs half a minute or more
HITS_AT_LEAST = 25  # of each; where kills find too few streams running, there are more of them


@dataclass
class Round:
    """What streams saw of one fault."""

    answers: list[Answer] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)  # how far they were: 0 to 1

    def check(self) -> None:
        lost = [answer.problem for answer in self.answers if answer.problem]
        assert not lost, f"{len(lost)} of {len(self.answers)} clients saw {lost[:3]}"


async def play(pair: Pair, model: str, fault: Callable[[], object], *, streams: int, chance: random.Random) -> Round:
    """Streams begin one after another; when one of them is at a random place, `fault` comes; all are read to the end."""
    readings, seen = [Reading() for _ in range(streams)], Round()
    async with httpx.AsyncClient(timeout=httpx.Timeout(180, connect=5), trust_env=False) as http:

        async def one(reading: Reading) -> Answer:
            await asyncio.sleep(chance.random() * 0.5)
            return await ask(http, pair.router.url, model, TOKENS, reading=reading)

        tasks = [asyncio.create_task(one(reading)) for reading in readings]
        wanted = chance.randrange(1, TOKENS * 4 // 5)
        while max(reading.chunks for reading in readings) < wanted and not all(task.done() for task in tasks):
            await asyncio.sleep(0.005)
        # Before it: until a killed engine is reaped, others have finished its answers.
        seen.moments += [reading.chunks / TOKENS for reading in readings if 0 < reading.chunks < TOKENS]
        await asyncio.to_thread(fault)
        seen.answers += await asyncio.gather(*tasks)
    return seen


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
    chance, seen = random.Random(SEED), Round()
    engine = {LLAMA: pair.llama, VLLM: pair.vllm}[model]
    before, began, done = pair.router.continued(), time.monotonic(), 0
    while done < kills or (done < 2 * kills and pair.router.continued() - before < HITS_AT_LEAST):
        done += 1
        await until_first(pair, model)
        one = await play(pair, model, engine.kill, streams=streams, chance=chance)
        seen.answers += one.answers
        seen.moments += one.moments
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
    before = pair.router.continued()
    try:
        seen = await play(pair, VLLM, pair.vllm.tell_to_end, streams=4, chance=random.Random(SEED + 1))
    finally:
        pair.vllm.kill()
        await asyncio.to_thread(pair.vllm.restart)
    seen.check()
    assert pair.router.continued() - before >= 1, f"no stream was cut; they were {seen.moments} done"
