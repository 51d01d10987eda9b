"""A backend that writes more than it was asked for: each client gets its own answer, whole, and no byte of another's."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, config, house
from testbed.upstream.client import HttpConnection
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Raw, Step
from tests.router.test_known_heads import PATH, WAYS, echo, question

STOLEN = 999  # what answers say that nobody asked for


def stolen(received: Received) -> bytes:
    """A whole answer to somebody else, in the way of this request."""
    other = {**received.json, "messages": [{"role": "user", "content": "x" * STOLEN}]}
    step = echo(replace(received, body=json.dumps(other).encode()))
    assert isinstance(step, Raw)
    return step.data


SURPLUS = {
    "whole": lambda whole: whole,
    "two": lambda whole: whole + whole,
    "half a head": lambda whole: whole[:25],
    "half a body": lambda whole: whole[:-20],
    "one byte": lambda whole: whole[:1],
    "line end": lambda whole: b"\r\n",
    "line end and whole": lambda whole: b"\r\n" + whole,
    "no HTTP": lambda whole: b"\x00\x01",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SURPLUS)
async def test_no_byte_of_surplus_reaches_a_client(tmp_path: Path, way: dict[str, Any], kind: str) -> None:
    def choose(received: Received) -> Step:
        own = echo(received)
        assert isinstance(own, Raw)
        return Raw(own.data + SURPLUS[kind](stolen(received)), "continue")

    async with (
        ScriptedUpstream(choose=choose) as upstream,
        RunningRouter(tmp_path, config(house(upstream.base_url), failover={"maxAttempts": 1})) as router,
    ):
        clients = [await HttpConnection.open(router.url) for _ in range(2)]
        for number in (1, 20, 300, 4, 50, 600):
            for turn, client in enumerate(clients):
                wanted = number + turn
                answer = await (await client.start(PATH, question(wanted, **way))).whole()
                assert (answer.status, answer.text, answer.ended) == (200, str(wanted), "clean"), answer
                assert str(STOLEN).encode() not in answer.body
        together = [asyncio.create_task(router.ask(question(number, **way))) for number in range(1, 40)]
        for number, task in enumerate(together, 1):
            assert (await task).text == str(number)
        state = await router.state("house")
        for client in clients:
            client.close()
    assert len(upstream.requests) == 12 + 39, "the backend was asked again, or less"
    assert upstream.accepted == len(upstream.requests), "a connection with surplus was used again"
    assert state["breaker"]["state"] == "closed", "surplus behind a good answer closed the backend"
