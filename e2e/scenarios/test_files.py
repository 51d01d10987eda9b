"""Models as they come from disks, in pods of real llama-servers: split, with twenty adapters, with a projector for pictures."""

from __future__ import annotations

import asyncio
import base64
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.disk import claimed, on_claim
from e2e.world import World, until
from testbed.models import adapters, counting, seeing
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(420)
CLAIM = "carried-in"
STARTS = tuple(range(40, 840, 40))
WANTED = {"split": 0, **{adapters.name(start): start for start in STARTS}}


def first_words(start: int) -> str:
    return f" {start:04d} {start + 1:04d} {start + 2:04d}"


def fill(folder: Path) -> None:
    """Puts a split model, twenty adapters for it, and a model with its projector into a folder."""
    counting.write(folder / "counting.gguf", split=4)
    shards = sorted(path.name for path in folder.glob("counting-*.gguf"))
    assert len(shards) > 1, f"no split model was written: {shards}"
    for start in STARTS:
        shutil.copy(adapters.cached_gguf(start), folder / f"{adapters.name(start)}.gguf")
    for name, file in zip(("seeing", "mmproj"), seeing.cached(), strict=True):
        shutil.copy(file, folder / f"{name}.gguf")


async def said(http: httpx.AsyncClient, model: str, content: Any = "hi") -> str:
    """The first words of an answer, or its status."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 3, "temperature": 0}
    answer = await http.post("/v1/chat/completions", json=body)
    return (
        str(answer.json()["choices"][0]["message"]["content"]) if answer.status_code == 200 else str(answer.status_code)
    )


async def test_split_models_adapters_and_pictures(world: World, scratch: str, tmp_path: Path) -> None:
    if world.cluster is None:
        pytest.skip("its node reads a folder of this machine")
    house = world.house
    fill(tmp_path)
    shards = sorted(path.name for path in tmp_path.glob("counting-*.gguf"))
    tunes = [
        {"name": adapters.name(start), "source": on_claim(CLAIM, f"{adapters.name(start)}.gguf")} for start in STARTS
    ]
    house.apply(
        *claimed(tmp_path, scratch, CLAIM),
        model_deployment(scratch, "split", on_claim(CLAIM, shards[0]), adapters=tunes),
        model_deployment(scratch, "seer", on_claim(CLAIM, "seeing.gguf"), projector=on_claim(CLAIM, "mmproj.gguf")),
        route_policy(
            scratch,
            "carried",
            [{"name": name, "deployment": {"name": name}} for name in ("split", "seer")],
            routes=[
                {"name": "seer", "match": {"models": ["seer"]}, "tiers": [{"backends": [{"name": "seer"}]}]},
                {"name": "split", "tiers": [{"backends": [{"name": "split"}]}]},
            ],
        ),
    )
    for name in ("split", "seer"):
        await asyncio.to_thread(house.until, "mdep", scratch, name, "Ready", seconds=180)
    await asyncio.to_thread(house.until, "rp", scratch, "carried", "Ready", seconds=120)
    url = await asyncio.to_thread(world.service_url, scratch, "carried-router")
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:

        def listed() -> bool:
            found = httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]
            return {entry["id"] for entry in found} == {*WANTED, "seer"}

        await until(listed, "every adapter in the list of models", seconds=60)
        gate = asyncio.Semaphore(8)

        async def one(model: str) -> tuple[str, str]:
            async with gate:
                return model, await said(http, model)

        answers = await asyncio.gather(*(one(model) for _ in range(3) for model in WANTED))
        wrong = [(model, text) for model, text in answers if text != first_words(WANTED[model])]
        assert not wrong, f"{len(wrong)} of {len(answers)} answers were another model's: {wrong[:3]}"
        for model in ("from-999", "FROM-40", "from-4"):
            assert await said(http, model) == "404", f"{model} was answered"
        for colour, word in seeing.SAID.items():
            png = base64.b64encode(seeing.picture(colour)).decode()
            picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}
            assert (await said(http, "seer", [{"type": "text", "text": "hi"}, picture])).startswith(word)
