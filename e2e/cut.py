"""Streams that are cut: several run, something is killed in the middle of them, and all are read to their end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from e2e.load import Answer, Reading, ask

STAGGER_SECONDS = 0.3  # in which all streams begin


@dataclass
class Cut:
    """What streams saw of faults."""

    answers: list[Answer] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)  # how far streams were when a fault came: 0 to 1

    def check(self) -> None:
        """No answer was lost."""
        lost = [answer.problem for answer in self.answers if answer.problem]
        assert not lost, f"{len(lost)} of {len(self.answers)} clients saw {lost[:3]}"

    async def round(
        self,
        url: str,
        model: str,
        fault: Callable[[], object],
        *,
        streams: int,
        tokens: int,
        chance: random.Random,
    ) -> None:
        """Streams begin one after another. When each of them has begun and one is at a random place, `fault` comes."""
        readings = [Reading() for _ in range(streams)]
        async with httpx.AsyncClient(timeout=httpx.Timeout(180, connect=5), trust_env=False) as http:

            async def one(reading: Reading, pause: float) -> Answer:
                await asyncio.sleep(pause)
                return await ask(http, url, model, tokens, reading=reading)

            wanted = chance.randrange(1, tokens * 4 // 5)
            tasks = [asyncio.create_task(one(reading, chance.random() * STAGGER_SECONDS)) for reading in readings]
            while not _far_enough(readings, wanted) and not all(task.done() for task in tasks):
                await asyncio.sleep(0.005)
            # Before it: until what was killed is gone, others have finished its answers.
            self.moments += [r.tokens / tokens for r in readings if 0 < r.tokens < tokens]
            await asyncio.to_thread(fault)
            self.answers += await asyncio.gather(*tasks)


def _far_enough(readings: list[Reading], wanted: int) -> bool:
    return all(r.tokens or r.problem for r in readings) and max(r.tokens for r in readings) >= wanted
