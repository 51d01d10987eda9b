"""A fault in the router's own code, at one request: its client learns it, and nobody else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from genset.router.dialects.openai.transcript import Transcript
from genset.router.exchange.exchange import Exchange
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break
from tests.router.test_costs import records

STALL = Answer(words=20, brk=Break("stall", after_chunks=3))


@pytest.mark.interpreted
@pytest.mark.parametrize("where", ["broke", "expire"])
async def test_one_request_that_cannot_be_looked_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`broke`: even the end of the request fails, because its tokens cannot be counted."""
    kept = Transcript.add, Exchange.expire

    def add(self: Transcript, block: bytes) -> None:
        if where == "broke" and b"poison" in block:
            raise RuntimeError("a fault of ours")
        kept[0](self, block)

    def expire(self: Exchange, now: float) -> None:
        if where == "expire" and self.record.model == "poison":
            raise RuntimeError("a fault of ours")
        kept[1](self, now)

    monkeypatch.setattr(Transcript, "add", add)
    monkeypatch.setattr(Exchange, "expire", expire)
    poison = Answer(texts=("poison",) * 9, brk=Break("stall", after_chunks=3), first_delay=0.3)

    def choose(received: Any) -> Answer:
        return poison if received.json.get("user") == "poison" else STALL

    async with ScriptedUpstream(choose=choose) as local:
        content = config(house(local.base_url), models=["*"], failover={"stallSeconds": 0.5, "continueStreams": False})
        content["usage"] = {"spoolBytes": 1024 * 1024}
        spool = tmp_path / "spool"
        async with RunningRouter(tmp_path, content, log=tmp_path / "log", spool=spool) as router:
            ill = asyncio.ensure_future(router.ask(chat(model="poison", user="poison")))
            others = [asyncio.ensure_future(router.ask(chat())) for _ in range(5)]
            for answer in await asyncio.wait_for(asyncio.gather(*others), 5):
                assert answer.error is not None and answer.error["code"] == "provider_stalled", answer
            poisoned = await asyncio.wait_for(ill, 5)
            if where == "expire":
                assert poisoned.json["error"]["type"] == "router_internal" and poisoned.status == 500
            else:
                assert poisoned.ended in ("truncated", "reset") and not poisoned.done
            await until(lambda: not router.exchanges)
            assert router.gate.in_flight == 0
            outcomes = Counter(record.outcome for record in records(spool))
            assert outcomes == {"cut": 5, "failed": 1}, "each has its record, this one, too"
            assert (await router.state("house"))["endpoints"][0]["inFlight"] == 0
            text = (await router.admin("/metrics")).body.decode()
            assert 'error="router_internal",route="route",status="500"} 1.0' in text
            assert (await client.request(router.url + "/v1/models")).status == 200
    assert "a fault of ours" in caplog.text
    assert (tmp_path / "log").read_text().count('"error":"router_internal"') == 1, "this request leaves a line, too"
