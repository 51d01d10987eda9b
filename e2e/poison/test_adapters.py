"""Twenty LoRA adapters on one base in one real llama-server: each name answers its own, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.vllm.engines import EngineProcess, llama_server
from testbed.cluster.processes import Daemons
from testbed.models import adapters
from testbed.router import RunningRouter, config, house

STARTS = tuple(range(40, 840, 40))
NAMES = [adapters.name(start) for start in STARTS]
BASE = "counting"


def first_words(start: int) -> str:
    return f" {start:04d} {start + 1:04d} {start + 2:04d}"


WANTED = {BASE: first_words(0), **{adapters.name(start): first_words(start) for start in STARTS}}


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """The counting model with all adapters, as the engine starts it: with a scale of zero each."""
    files = [adapters.cached_gguf(start) for start in STARTS]
    with llama_server(Daemons(tmp_path_factory.mktemp("adapted")), scaled=files).running() as engine:
        yield engine


def policy(engine: EngineProcess) -> dict[str, Any]:
    """One route for every model, to the one server."""
    url = {"healthPath": "/health"}
    made = config(house(engine.base_url + "/v1", adapters=NAMES, adapterList="Paths", url=url) | {"model": BASE})
    made["routes"][0]["match"]["models"] = []
    return made


def asked(model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": model, "messages": messages, "max_tokens": 3, "temperature": 0, **more}


async def said(http: httpx.AsyncClient, model: str, **more: Any) -> str:
    """What an answer says, or its status."""
    if more.get("stream"):
        text = (await http.post("/v1/chat/completions", json=asked(model, **more))).text
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        return "".join(c["delta"].get("content") or "" for event in events for c in event["choices"])
    answer = await http.post("/v1/chat/completions", json=asked(model, **more))
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    return str(answer.json()["choices"][0]["message"]["content"])


async def listed(http: httpx.AsyncClient) -> set[str]:
    return {entry["id"] for entry in (await http.get("/v1/models")).json()["data"]}


async def test_each_name_answers_its_own(adapted: EngineProcess, tmp_path: Path) -> None:
    async with (
        RunningRouter(tmp_path, policy(adapted)) as router,
        httpx.AsyncClient(base_url=router.url, timeout=60, trust_env=False) as http,
    ):
        assert await listed(http) == set(WANTED)
        for model, wanted in WANTED.items():
            assert await said(http, model) == wanted
        for model in ("from-999", "from-4", "FROM-40", "from-40 ", "any"):
            assert await said(http, model) == "404 model_not_found"
        others = [{"id": number, "scale": 1.0} for number in range(len(NAMES))]
        assert await said(http, BASE, lora=others) == WANTED[BASE], "a client chose an adapter by itself"
        assert await said(http, NAMES[3], lora=others) == WANTED[NAMES[3]]
        gate = asyncio.Semaphore(8)

        async def one(model: str, stream: bool) -> tuple[str, str]:
            async with gate:
                return model, await said(http, model, stream=stream)

        mixed = [one(model, turn % 2 == 0) for turn in range(4) for model in WANTED]
        wrong = [(model, text) for model, text in await asyncio.gather(*mixed) if text != WANTED[model]]
        assert not wrong, f"{len(wrong)} of {len(mixed)} answers were another model's: {wrong[:3]}"
