"""Requests that a real llama-server answers with an error, beside bystanders: nobody else is moved to the cloud.

Each kind was seen to open a breaker for everybody: two pictures were enough.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from e2e.vllm.engines import MODEL, EngineProcess
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import Response
from testbed.upstream.scripted import ScriptedUpstream

POISONS = 100
_PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
_HELLO: dict[str, Any] = {"role": "user", "content": "count: one two"}

KINDS: dict[str, dict[str, Any]] = {
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}],
            }
        ]
    },
    "audio": {
        "messages": [
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": _PIXEL, "format": "wav"}}]}
        ]
    },
    "an unknown reasoning_format": {"reasoning_format": "sideways"},
    "a bad grammar": {"grammar": 'root ::= "unfinished'},
    "a bad schema": {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}}},
    "a message without a role": {"messages": [{"content": "hello"}]},
    "a message that is none": {"messages": ["hello"]},
    "a custom tool": {"tools": [{"type": "custom", "custom": {"name": "shell"}}]},
    "a tool without a name": {"tools": [{"type": "function", "function": {}}]},
    "an unknown tool_choice": {"tools": [], "tool_choice": "sometimes"},
    "two forms at once": {"json_schema": {}, "grammar": 'root ::= "a"'},
    "a role that is a number": {"messages": [{"role": 5, "content": "hello"}]},
    "tools that are none": {"tools": "all"},
    "a negative top_k of text": {"top_k": "many"},
}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "assistant", "messages": [_HELLO], "max_tokens": 4, **more}


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_else_is_moved(llama: EngineProcess, tmp_path: Path, kind: str) -> None:
    async with ScriptedUpstream() as far:
        local = house(f"{llama.base_url}/v1", url={"healthPath": "/health"})
        content = config({**local, "model": MODEL}, cloud(far.base_url), models=["assistant"])
        async with RunningRouter(tmp_path, content) as router:
            done = asyncio.Event()

            async def bystander() -> list[Response]:
                answers = []
                while not done.is_set():
                    answers.append(await router.ask(body(stream=True)))
                return answers

            steady = asyncio.create_task(bystander())
            said: Counter[int] = Counter()
            for start in range(0, POISONS, 10):
                asked = (body(**KINDS[kind], user=str(start + n), stream=bool(n % 2)) for n in range(10))
                for answer in await asyncio.gather(*(router.ask(one) for one in asked)):
                    said[answer.status] += 1
                    if answer.status != 200:
                        assert answer.json["error"]["message"], "the server's own words"
            done.set()
            answers = await steady
            moved = [a for a in answers if not a.complete or a.headers["x-genset-backend"] != "house"]
            assert not moved, f"{len(moved)} of {len(answers)} bystanders were moved; the poisoned got {said}"
            assert not far.requests, f"prompts have left the house; the poisoned got {said}"
            print(f"{kind}: {len(answers)} bystanders, none moved; the poisoned got {dict(said)}")
