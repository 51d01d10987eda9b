"""What ends a drill, what may not make one look good, and that it measures what a client measures in a real outage."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genset.contracts.drill import DrillPhase, DrillReport
from genset.router.drills.run import RunTimes
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status
from tests.router.test_drills import QUICK, ended, give, order, told

IMPATIENT = Bounds(drills=RunTimes(baseline=1.5, recovery=40.0))


async def in_fault(router: RunningRouter) -> None:
    async def reached() -> bool:
        report = await told(router)
        return report is not None and report.phase == DrillPhase.FAULT

    await until(reached, what="the fault")


async def run(tmp_path: Path, document: dict[str, Any], bounds: Bounds = QUICK, **more: Any) -> DrillReport:
    async with RunningRouter(tmp_path, document, bounds=bounds) as router:
        give(router, order(**more))
        return await ended(router)


async def test_a_run_that_is_called_off_leaves_nothing_behind(tmp_path: Path) -> None:
    """A fault is in the router's memory alone: chaos-mesh 310 and 4827, litmus-go 239 left rules in the network."""
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, order(seconds=60, fault="Blackhole"))
            await in_fault(router)
            await asyncio.sleep(0.3)  # requests gather behind the fault
            give(router, None)
            await until(lambda: router.router.parts.drills.report is None, what="its end")
            await until(lambda: far.open_connections == near.open_connections == 0, what="no connection of the drill")
            await asyncio.sleep(1.0)  # a busy server reads what it had been sent
            asked = len(far.requests) + len(near.requests)
            answer = await router.ask(chat())
            assert answer.headers["x-genset-attempts"].startswith("cloud:ok")
            assert len(far.requests) + len(near.requests) == asked + 1, "nobody asks any more"


async def test_a_changed_configuration_ends_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, order(seconds=60))
            await in_fault(router)
            router.write(config(cloud(far.base_url), house(near.base_url), generation=2))
            report = await ended(router)
            assert (report.phase, report.why) == (DrillPhase.ABORTED, "the policy's configuration was changed")


async def test_a_router_that_starts_in_mid_drill_does_not_join(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        router = RunningRouter(tmp_path, config(cloud(far.base_url), house(near.base_url)), bounds=QUICK)
        give(router, order())
        async with router:
            report = await ended(router)
            assert (report.phase, report.why) == (DrillPhase.ABORTED, "this router has started in mid-drill")
            assert not far.requests and not near.requests
            give(router, order(id="cloud-2"))
            assert (await ended(router, id_="cloud-2")).phase == DrillPhase.PASSED


async def test_a_real_outage_ends_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, order(takes=["cloud"], fault="SlowFirstToken", seconds=60))
            await in_fault(router)
            await far.kill()
            for _ in range(5):
                assert (await router.ask(chat())).complete, "what is really broken is survived as ever"
            report = await ended(router)
            assert report.phase == DrillPhase.ABORTED and "a real outage: backend cloud is passed over" in report.why
            give(router, order(id="cloud-2"))
            assert "a real outage" in (await ended(router, id_="cloud-2")).why, "none begins in an outage"


NOTHING_PROVED: dict[str, tuple[dict[str, Any], str]] = {
    "what is taken away is down anyway": ({"script": "down"}, "what the drill takes away did not answer route route"),
    "nobody asks for it first": ({"takes": ["house"]}, "no route asks first for what the drill takes away"),
    "nobody answers at all": ({"script": "broken"}, "requests of route route were not answered before the fault"),
}


@pytest.mark.parametrize("name", NOTHING_PROVED)
def test_nothing_is_proved_by_what_was_not_there(name: str, tmp_path: Path) -> None:
    """litmus-go 408 took whatever was there if its target was not, and the verdict was Pass."""
    more, why = NOTHING_PROVED[name]
    script = more.get("script")

    async def play() -> DrillReport:
        broken = Status(400, {"error": {"message": "no"}})
        async with ScriptedUpstream() as near, ScriptedUpstream() as far:
            if script == "broken":
                near.always(broken)
            if script:
                far.always(broken if script == "broken" else Answer(brk=Break("rst", after_chunks=0)))
            document = config(cloud(far.base_url), house(near.base_url))
            return await run(tmp_path, document, IMPATIENT, takes=more.get("takes", ["cloud"]))

    report = asyncio.run(play())
    assert report.phase == DrillPhase.ABORTED, report
    assert why in report.why or (script == "down" and "a real outage" in report.why), report


async def test_a_survivor_that_cannot_stream_fails_the_drill(tmp_path: Path) -> None:
    """LiteLLM 5512, 6957, 25843: mock_testing_fallbacks worked, and the fallback of real streams never fired."""
    async with ScriptedUpstream(default=Answer(brk=Break("fin", after_chunks=0))) as near, ScriptedUpstream() as far:
        report = await run(tmp_path, config(cloud(far.base_url), house(near.base_url)))
        assert report.phase == DrillPhase.MISSED and report.measured.lost >= 10, report
        assert "were lost" in report.why


async def test_a_survivor_that_answers_nothing_fails_the_drill(tmp_path: Path) -> None:
    """A 200 that holds no token is no answer, however fast it comes."""
    async with ScriptedUpstream(default=Answer(words=0)) as near, ScriptedUpstream() as far:
        report = await run(tmp_path, config(cloud(far.base_url), house(near.base_url)))
        assert report.phase == DrillPhase.MISSED, report


async def test_failover_acts_under_the_fault(tmp_path: Path) -> None:
    """istio 13705, 20928: with a fault on a route its retries and timeouts were off, so that nothing was tried."""
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url), failover={"firstTokenSeconds": 1})
        report = await run(
            tmp_path, document, fault="SlowFirstToken", seconds=3, objective={"rtoSeconds": 3, "lost": 0}
        )
        assert report.phase == DrillPhase.PASSED and report.measured.degraded == report.measured.requests


async def test_data_zones_hold(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far, ScriptedUpstream() as abroad:
        document = config(
            house(near.base_url), cloud(abroad.base_url, "us", dataZone="us"), cloud(far.base_url, "eu", dataZone="eu")
        )
        document["dataZones"] = [{"saidBy": "policy", "zones": ["house", "eu"]}]
        report = await run(tmp_path, document, takes=["house"])
        assert report.phase == DrillPhase.PASSED, report
        assert far.requests and not abroad.accepted, "nothing goes to a zone that is not allowed, not even a connection"


async def test_nobody_else_begins_one_or_gets_in(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            for path in ("/-/drill", "/-/drills/cloud", "/-/config"):
                answer = await request(f"http://127.0.0.1:{router.router.admin_port}{path}", {"fault": "Refused"})
                assert answer.status in (404, 405, 413)
            assert await told(router) is None
            give(router, order(seconds=3))
            await in_fault(router)
            answer = await router.ask(chat(), headers={"x-request-id": "drill-cloud-1", "x-genset-drill": "cloud"})
            assert answer.headers["x-genset-attempts"].startswith("cloud:ok")


async def test_it_measures_what_a_client_measures_in_a_real_outage(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url), failover={"firstTokenSeconds": 2})
        drilled = await run(
            tmp_path, document, fault="SlowFirstToken", seconds=5, objective={"rtoSeconds": 5, "lost": 0}
        )
        assert drilled.phase == DrillPhase.PASSED, drilled
        async with RunningRouter(tmp_path, document) as router:
            (tmp_path / "config" / "drill.json").unlink()
            for _ in range(3):
                assert (await router.ask(chat(stream=True))).complete
            loop = asyncio.get_running_loop()
            far.always(Answer(first_delay=30.0))
            began = loop.time()
            answer = await router.ask(chat(stream=True))
            assert answer.complete
            rto = next(event.at for event in answer.events if event.comment is None) - began
    assert drilled.measured.rto is not None
    assert abs(drilled.measured.rto - rto) <= 0.1 * rto + 0.1, (drilled.measured, rto)
