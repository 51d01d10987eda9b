"""The main job as a story: the house answers, dies under load, comes back; the cloud dies, the house answers.

Each chapter acts on a real cluster and returns what it measured; the demo prints it, the scenarios assert on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from e2e.cloud import Cloud
from e2e.load import Answer, Load, ask
from testbed.house import House

NAMESPACE = "models"
DEPLOYMENT = "house-small"
POLICY = "assistant"
HOUSE = "house"  # names of the sample policy's backends
FRONTIER = "frontier"
HOUSE_FIRST = "assistant"  # models that the sample policy's routes match
CLOUD_FIRST = "assistant-hard"
ENGINE_PODS = f"genset.dev/modeldeployment={DEPLOYMENT}"


@dataclass(frozen=True)
class Failover:
    """One failover as the clients saw it. Seconds."""

    answers: int
    lost: list[Answer]
    first_failed_over: Answer  # the first answer that the other side gave
    seconds_to_first_byte: float  # from the fault to the first byte from the other side
    slowest: float  # longest answer around the fault


async def house_answers(url: str, *, seconds: float = 20) -> Answer:
    """The first answer by the house. A router looks for new endpoints every second; until then the cloud answers."""
    deadline = time.monotonic() + seconds
    while (answer := await one_answer(url, HOUSE_FIRST)).backend != HOUSE or answer.problem:
        if answer.problem or time.monotonic() > deadline:
            raise TimeoutError(
                f"the house did not answer within {seconds:.0f} s; the last answer was by {answer.backend or 'nobody'} "
                f"({answer.attempts}) {answer.problem}"
            )
        await asyncio.sleep(0.2)
    return answer


async def one_answer(url: str, model: str, *, tokens: int = 20) -> Answer:
    """A single streamed request."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        return await ask(http, url, model, tokens)


async def failover(
    load: Load, *, before: str, after: str, break_it: Callable[[], float], seconds: float = 30
) -> Failover:
    """Breaks something under a running load and waits until the other side answers.

    `break_it` returns the moment of the fault (monotonic seconds), because finding what to kill takes time.
    """
    await load.until_answered_by(before, since=time.monotonic(), seconds=seconds)
    broken = await asyncio.to_thread(break_it)
    first = await load.until_answered_by(after, since=broken - 1, seconds=seconds)
    await asyncio.sleep(2)  # the load's own run: requests that were waiting when the fault came must end too
    around = [answer for answer in load.answers if answer.ended >= broken]
    first = min((a for a in around if a.backend == after and not a.problem), key=lambda a: a.first_byte, default=first)
    return Failover(
        answers=len(around),
        lost=list(load.lost),
        first_failed_over=first,
        seconds_to_first_byte=first.first_byte - broken,
        slowest=max((a.ended - a.started for a in around), default=0.0),
    )


async def house_dies(house: House, load: Load) -> Failover:
    return await failover(load, before=HOUSE, after=FRONTIER, break_it=lambda: house.kill_pods(NAMESPACE, ENGINE_PODS))


async def house_returns(load: Load, *, seconds: float = 120) -> float:
    """Seconds until traffic is back at the house by itself."""
    started = time.monotonic()
    await load.until_answered_by(HOUSE, since=started, seconds=seconds)
    return time.monotonic() - started


async def cloud_dies(cloud: Cloud, load: Load) -> Failover:
    def kill() -> float:
        moment = time.monotonic()
        cloud.kill()
        return moment

    return await failover(load, before=FRONTIER, after=HOUSE, break_it=kill)
