"""Random faults on every backend under load: each answer is whole, or says that it is not; nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Close, Raw, Reset, Step

SEED = 20261121
SECONDS = 6.0
LEAST = 10  # answers that ended with an error, which a busy machine needs longer for
PATIENCE = 60.0
WORDS = 12


def some_step(chance: random.Random) -> Step:
    """Half of the time a good answer, in many shapes; else any fault."""
    if chance.random() < 0.5:
        return Answer(words=WORDS, burst=chance.random() < 0.5, chunk_words=chance.choice([1, 3]), interval=0.001)
    how = chance.choice(["fin", "rst", "end"])
    return chance.choice(
        [
            steps.server_error(500),
            steps.loading(),
            steps.rate_limited(retry_after=0.1),
            Reset(),
            Close(),
            Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"),
            Answer(words=WORDS, done=False),
            Answer(words=WORDS, brk=Break(how, after_bytes=chance.randrange(0, 3000))),
            Answer(words=WORDS, brk=Break("end", after_chunks=chance.randrange(WORDS), send=steps.in_band_error())),
            Answer(words=WORDS, brk=Break("continue", after_chunks=chance.randrange(WORDS), send=b"data: {oops\n\n")),
        ]
    )


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts, reads nothing


async def test_no_answer_is_lost_in_silence_and_nothing_is_left_behind(tmp_path: Path) -> None:
    chance = random.Random(SEED)

    def choose(received: Any) -> Step | None:
        return some_step(chance) if received.method == "POST" else None

    seen: Counter[str] = Counter()
    async with (
        ScriptedUpstream(choose=choose) as one,
        ScriptedUpstream(choose=choose) as two,
        ScriptedUpstream(choose=choose) as three,
    ):
        backends = [house(one.base_url), house(two.base_url, "second"), cloud(three.base_url)]
        content = config(*backends, failover={"maxAttempts": 8, "stallSeconds": 1, "firstTokenSeconds": 1})
        async with RunningRouter(tmp_path, content) as router:
            assert (await client.request(router.url + "/v1/models")).status == 200
            before = open_files()
            now = asyncio.get_running_loop().time
            end = now() + SECONDS

            async def caller(number: int) -> None:
                mine = random.Random(SEED + number)
                while now() < end or (seen["told"] + seen["refused"] <= LEAST and now() < end + PATIENCE):
                    stream = mine.random() < 0.7
                    if mine.random() < 0.1:
                        async with client.stream(router.chat_url, chat(stream=stream)) as exchange:
                            await asyncio.sleep(mine.random() * 0.02)
                            exchange.leave(reset=mine.random() < 0.5)
                        seen["left"] += 1
                        continue
                    answer = await router.ask(chat(stream=stream))
                    if answer.complete:
                        assert fault(answer.text, WORDS) is None, f"damaged and called whole: {answer.text!r}"
                        seen["whole"] += 1
                    else:
                        assert answer.ended == "clean" and answer.error is not None, f"lost in silence: {answer}"
                        assert answer.numbers == list(range(len(answer.numbers)))
                        seen["told" if answer.status == 200 else "refused"] += 1
                        await asyncio.sleep(0.05)  # clients heed Retry-After a little

            await asyncio.gather(*(caller(number) for number in range(12)))
            await until(lambda: not router.exchanges, what="the end of all requests")
            assert router.gate.in_flight == router.gate.queued == router.buffered_bytes == 0
            for backend in router.table.backends.values():
                assert [e.in_flight for e in backend.endpoints] == [0], backend.name
            await until(lambda: not router.connections and not router.running_out)
            for backend in router.table.backends.values():
                for connection in list(backend.endpoints[0].idle):
                    assert not connection.closed and backend.endpoints[0].idle.count(connection) == 1
                    connection.drop()
                backend.endpoints[0].idle.clear()
            await until(lambda: open_files() <= before, what="the closing of all sockets")
    assert seen["whole"] > 50 and seen["told"] + seen["refused"] > LEAST, seen
