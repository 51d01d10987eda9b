"""A model that worked and is gone is called retired; one that never worked is not; an announced end is told ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step

OFTEN = Bounds(verify=VerifyTimeouts(look=0.1))
SUNSET = "Fri, 01 Jan 2027 00:00:00 GMT"
DECOMMISSIONED = Status(400, steps.error_body("Decommissioned", "invalid_request_error", "model_decommissioned"))


@asynccontextmanager
async def between(
    folder: Path, choose: Callable[[Received], Step | None]
) -> AsyncIterator[tuple[RunningRouter, ScriptedUpstream]]:
    """A router before a cloud that does what `choose` says, and a house that stands in."""
    async with ScriptedUpstream(choose=choose) as far, ScriptedUpstream() as near:
        content = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(folder, content, bounds=OFTEN) as router:
            yield router, far


async def told(router: RunningRouter, name: str = "outages") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await router.admin("/-/config")).json.get(name, [])
    return found


async def until_told(router: RunningRouter) -> dict[str, Any]:
    async with asyncio.timeout(6):
        while not (found := await told(router)):
            await asyncio.sleep(0.02)
    return found[0]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_model_that_worked_is_retired(tmp_path: Path, announced: bool) -> None:
    gone = False

    def choose(received: Received) -> Step | None:
        if received.method != "POST":
            return None
        return steps.model_not_found() if gone else Answer(headers={"sunset": SUNSET} if announced else {})

    async with between(tmp_path, choose) as (router, _):
        assert (await router.ask(chat())).headers["x-genset-backend"] == "cloud"
        assert [one["sunset"] for one in await told(router, "servers")] == (
            ["2027-01-01T00:00:00Z"] if announced else []
        )
        gone = True
        assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
        found = await until_told(router)
        assert (found["scope"], found["cause"], found["why"]) == ("Backend", "model_not_found", "retired")
        assert found.get("ends", "") == ("2027-01-01T00:00:00Z" if announced else "")


@pytest.mark.parametrize(
    ("step", "why"), [(steps.model_not_found(), ""), (DECOMMISSIONED, "retired")], ids=["unknown", "decommissioned"]
)
async def test_a_model_that_never_worked_is_not_retired_unless_its_server_says_so(
    tmp_path: Path, step: Step, why: str
) -> None:
    async with between(tmp_path, lambda received: step if received.method == "POST" else None) as (router, _):
        assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
        found = await until_told(router)
        assert found["cause"] == "model_not_found" and found.get("why", "") == why


async def test_one_callers_404_retires_nothing(tmp_path: Path) -> None:
    def choose(received: Received) -> Step | None:
        return steps.model_not_found() if b"poison" in received.body else None

    async with between(tmp_path, choose) as (router, far):
        assert (await router.ask(chat())).headers["x-genset-backend"] == "cloud"
        await router.ask(chat(user="poison"))
        await until(lambda: bool(far.own), within=5, what="the router's own request")
        await asyncio.sleep(0.3)
        assert await told(router) == [] and (await router.ask(chat())).headers["x-genset-backend"] == "cloud"
