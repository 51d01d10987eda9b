"""The soak's upstreams are two houses and a cloud in a process of their own.

Run as `python -m testbed.soak.upstreams SEED`. It prints one line of JSON with their ports, and reads words from
standard input: `fair` lets the weather begin, `calm` ends all faults (to measure what the router can do). It ends with
its standard input.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import uvloop

from testbed.soak.faults import FAULTS, STORM_FAULTS, cloud_step, good, house_step, storms
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Step

FORGET_SECONDS = 1.0  # a scripted upstream remembers every request, which is too much for a soak


class Weather:
    """The weather is calm until told otherwise."""

    def __init__(self) -> None:
        self.since: float | None = None

    def share(self, house: int) -> float:
        """Returns which share of a house's answers fails now."""
        if self.since is None:
            return 0.0
        return STORM_FAULTS if storms(house, time.monotonic() - self.since) else FAULTS


async def main(seed: int) -> None:
    chance, weather = random.Random(seed), Weather()

    def house(number: int) -> ScriptedUpstream:
        def choose(received: Received) -> Step | None:
            return house_step(chance, weather.share(number)) if received.method == "POST" else None

        return ScriptedUpstream(choose=choose)

    def of_the_cloud(received: Received) -> Step | None:
        if received.method != "POST":
            return None
        return good(chance) if weather.since is None else cloud_step(chance)

    async with house(0) as one, house(1) as two, ScriptedUpstream(choose=of_the_cloud) as cloud:
        print(json.dumps([one.port, two.port, cloud.port]), flush=True)
        words = asyncio.create_task(_listen(weather))
        while not words.done():
            await asyncio.wait([words], timeout=FORGET_SECONDS)
            for upstream in (one, two, cloud):
                upstream.requests.clear()
                upstream.probes.clear()


async def _listen(weather: Weather) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while word := (await reader.readline()).strip():
        weather.since = time.monotonic() if word == b"fair" else None


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
