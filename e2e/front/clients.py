"""Clients of what stands in front of a router."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from testbed.router import until
from testbed.upstream.client import chat

Object = dict[str, Any]


async def streamed(port: int, host: str, body: Object) -> tuple[str, list[float]]:
    """Returns the text of a stream, and when its events came (the loop's clock). Raises RemoteProtocolError if it was cut."""
    loop, text, times = asyncio.get_running_loop(), "", []
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
        http.stream("POST", f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers={"host": host}) as got,
    ):
        assert got.status_code == 200, await got.aread()
        async for line in got.aiter_lines():
            if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                text += choices[0]["delta"].get("content") or ""
                times.append(loop.time())
    return text, times


async def known_as(port: int, host: str, log: Path) -> list[str]:
    """Has two clients ask, one of which pretends to be another. Returns whom the access log names."""
    for address, forged in (("127.0.0.7", None), ("127.0.0.8", "203.0.113.9")):
        transport = httpx.AsyncHTTPTransport(local_address=address)
        headers = {"host": host, **({"x-forwarded-for": forged} if forged else {})}
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            assert (await http.post(url, json=chat(stream=False), headers=headers)).status_code == 200
    await until(lambda: len(log.read_text().splitlines()) == 2, what="two lines of the log")
    return [json.loads(line)["client"] for line in log.read_text().splitlines()]
