"""The byte-offset property in the APIs of other clients, sampled: a stream cut anywhere is whole, or says that it is not."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.router.test_cut_streams import router_of, sample
from tests.support.router.dialects import DIALECTS

SEED = 20261129
SAMPLES = 6  # per API and rule, at once


@pytest.mark.parametrize("manner", ["prefill", "anchor"])
@pytest.mark.parametrize("name", DIALECTS)
async def test_a_stream_cut_anywhere_is_whole_or_says_so(tmp_path: Path, name: str, manner: str) -> None:
    chance = random.Random(f"{SEED} {name} {manner}")
    await asyncio.gather(*(_run(tmp_path, name, manner, chance) for _ in range(SAMPLES)))


async def _run(folder: Path, name: str, manner: str, chance: random.Random) -> None:
    told, stream, steps, author, place = sample(folder, manner, chance)
    dialect = DIALECTS[name]
    async with router_of(steps, author, place) as router:
        seen = dialect.seen(await router.ask(dialect.body(stream=True), dialect.path))
    wanted = stream.wanted.text
    assert seen.verdict in ("whole", "told"), told
    assert seen.text == wanted if seen.verdict == "whole" else wanted.startswith(seen.text), f"{told}: {seen}"
