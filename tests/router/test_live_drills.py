"""A live drill takes a share of clients' requests along: none is lost, and the others notice nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from genset.contracts.drill import DrillPhase, Fault
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status
from tests.router.test_drill_ends import in_fault
from tests.router.test_drills import QUICK, WITHIN, Live, ended, give, order, told

#: Twelve words without a pause between them.
WORDS = Answer(words=12)


def live(share: int = 100, **more: Any) -> dict[str, Any]:
    """An order of a live drill that nothing stops, unless it says so."""
    stop = {"lost": more.pop("lost", 1000), "errorRate": more.pop("errorRate", 100)}
    return order(live={"share": share, **stop}, probesPerSecond=5, **more)


def drilled(answers: Iterable[Response]) -> list[Response]:
    return [answer for answer in answers if "x-genset-drill" in answer.headers]


async def untouched(router: RunningRouter) -> None:
    """Nothing that serves others knows anything of the fault."""
    for name in router.table.backends:
        state = await router.state(name)
        assert state["breaker"]["state"] == "closed" and not state.get("whyNot"), state
        assert not state.get("lastFailures") and not state.get("failures"), state
    assert not (await router.admin("/-/state")).json["outages"]
    assert router.table.backends["cloud"].refusals.known == {} or not router.table.backends["cloud"].refusals.known


@pytest.mark.parametrize(("fault", "side"), [(fault, side) for fault in Fault for side in WITHIN[fault][1].split()])
async def test_a_share_meets_the_fault_and_nobody_is_lost(tmp_path: Path, fault: Fault, side: str) -> None:
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        both = {"cloud": cloud(far.base_url), "house": house(near.base_url)}
        other = "house" if side == "cloud" else "cloud"
        document = config(both[side], both[other], failover={"firstTokenSeconds": 1})
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router, Live(router) as clients:
            objective = {"rtoSeconds": 3, "lost": 0}
            give(router, live(50, takes=[side], fault=fault, seconds=4, objective=objective))
            report = await ended(router)
            assert report.phase == DrillPhase.PASSED, report
            measured = report.measured
            assert measured.live >= 3 and measured.spared == measured.lost == measured.cut == 0, measured
            taken = drilled(clients.answers)
            assert len(taken) >= measured.live
            assert all(answer.complete for answer in clients.answers)
            assert {answer.headers["x-genset-drill"] for answer in taken} == {"cloud"}
            assert {answer.headers["x-genset-backend"] for answer in taken} == {other}, "somebody else answers"
            ways = {a.headers["x-genset-attempts"].split(":")[:2][-1] for a in clients.answers if a not in taken}
            assert ways == {"ok"}, "the others are answered at once by what is taken away"
            for name in both:
                state = await router.state(name)
                assert state["breaker"]["state"] == "closed" and not state.get("whyNot"), state
            assert not (await router.admin("/-/state")).json["outages"]


@pytest.mark.parametrize(
    "fault", [Fault.REFUSED, Fault.BLACKHOLE, Fault.SLOW_FIRST_TOKEN, Fault.CUT_STREAM, Fault.SUSPENDED]
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_where_nobody_else_is_the_request_goes_back(tmp_path: Path, fault: Fault, stream: bool) -> None:
    async with ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), failover={"firstTokenSeconds": 1, "totalSeconds": 4})
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(fault=fault, seconds=4))
            await in_fault(router)
            answers = await asyncio.gather(*(router.ask(chat(stream=stream)) for _ in range(5)))
            assert len(drilled(answers)) == 5
            assert all(answer.status == 200 and (answer.complete or not stream) for answer in answers), answers
            assert all("12" in json.dumps(answer.json) or stream for answer in answers)
            report = await ended(router)
            assert report.phase == DrillPhase.MISSED and "were spared that would have been" in report.why, report
            assert report.measured.spared == 5
            await untouched(router)


async def test_a_survivor_that_fails_loses_nobody(tmp_path: Path) -> None:
    """What stands in is broken, too: in an outage all would be lost. Its own breaker opens, because that is real."""
    async with ScriptedUpstream(default=Status(500, {"error": {"message": "no"}})) as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router, Live(router) as clients:
            give(router, live(seconds=3))
            report = await ended(router)
            assert report.phase in (DrillPhase.MISSED, DrillPhase.ABORTED), report
            assert drilled(clients.answers) and all(answer.complete for answer in clients.answers)


async def test_a_stand_in_that_breaks_off_loses_nobody(tmp_path: Path) -> None:
    """The client has a part of the answer by then: what is taken away writes on."""
    broken = Answer(words=12, brk=Break("rst", after_chunks=5))
    async with ScriptedUpstream(default=broken) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url, continuation="Prefill"), house(near.base_url, continuation="Prefill"))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(seconds=10))
            await in_fault(router)
            answer = await router.ask(chat())
            assert answer.complete and answer.numbers == list(range(12)), answer
            assert answer.headers["x-genset-drill"] == "cloud"


async def test_it_ends_by_itself_before_many_would_be_lost(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=WORDS) as far,
        RunningRouter(tmp_path, config(cloud(far.base_url)), bounds=QUICK) as router,
        Live(router) as clients,
    ):
        give(router, live(seconds=60, lost=1))
        report = await ended(router, within=20)
        assert report.phase == DrillPhase.ABORTED, report
        assert "would have been lost (stopWhen.lost is 1)" in report.why
        assert 1 <= len(drilled(clients.answers)) <= 4 and all(answer.complete for answer in clients.answers)


async def test_it_ends_by_itself_if_clients_leave(tmp_path: Path) -> None:
    """Who waits behind the fault until his patience ends has lost his answer, and the drill is to blame."""
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url), failover={"firstTokenSeconds": 30})
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(fault="SlowFirstToken", seconds=60, errorRate=50))
            await in_fault(router)
            for _ in range(11):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await router.ask(chat())
            report = await ended(router, within=20)
            assert report.phase == DrillPhase.ABORTED and "requests of clients have failed" in report.why, report


async def test_one_that_is_called_off_lets_those_go_that_wait_behind_the_fault(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url), failover={"firstTokenSeconds": 30})
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(fault="SlowFirstToken", seconds=60))
            await in_fault(router)
            waiting = [asyncio.create_task(router.ask(chat())) for _ in range(5)]
            await asyncio.sleep(0.3)
            give(router, None)
            async with asyncio.timeout(5):
                answers = await asyncio.gather(*waiting)
            assert all(a.complete and a.headers["x-genset-drill"] == "cloud" for a in answers)
            await until(lambda: router.router.parts.drills.report is None, what="its end")
            await until(lambda: far.open_connections <= 5, what="no connection of the drill but clients' kept ones")
            assert "x-genset-drill" not in (await router.ask(chat())).headers
            await until(lambda: not router.router.shared.connector._detours, what="no other way to connect")
            await untouched(router)


async def test_streams_outlive_the_drill(tmp_path: Path) -> None:
    slow = Answer(words=60, interval=0.2)
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(seconds=2))
            await in_fault(router)
            near.always(slow)
            running = asyncio.create_task(router.ask(chat()))
            report = await ended(router)
            assert report.phase == DrillPhase.PASSED and not running.done(), report
            assert (await running).numbers == list(range(60))


async def test_a_real_outage_ends_it(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router, Live(router) as clients:
            give(router, live(40, seconds=60))
            await in_fault(router)
            await far.kill()
            report = await ended(router, within=30)
            assert report.phase == DrillPhase.ABORTED and "a real outage" in report.why, report
            assert all(answer.complete for answer in clients.answers), "the house answers all of them"


async def test_who_is_in_a_hurry_is_left_alone(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
            give(router, live(seconds=5))
            await in_fault(router)
            for name in ("x-genset-timeout", "x-genset-deadline"):
                answer = await router.ask(chat(), headers={name: "5"})
                assert answer.headers["x-genset-attempts"].startswith("cloud:ok"), answer.headers
            assert "x-genset-drill" in (await router.ask(chat())).headers


async def test_zones_hold_and_so_does_what_may_send_a_request_out(tmp_path: Path) -> None:
    """The house is taken away: a request goes to a cloud only if an outage would send it there, and back otherwise."""
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        for more in ({"failover": {"toCloudOn": ["Full"]}}, {"dataZones": [{"saidBy": "policy", "zones": ["house"]}]}):
            document = config(house(near.base_url), cloud(far.base_url), failover=more.get("failover", {}))
            if "dataZones" in more:
                document["dataZones"] = more["dataZones"]
            async with RunningRouter(tmp_path, document, bounds=QUICK) as router:
                give(router, live(takes=["house"], seconds=3))
                await in_fault(router)
                answer = await router.ask(chat())
                assert answer.complete and answer.headers["x-genset-backend"] == "house", answer.headers
                assert not far.requests
                give(router, None)
                await until(lambda router=router: router.router.parts.drills.report is None, what="its end")


async def test_the_log_names_the_drill(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=WORDS) as near, ScriptedUpstream(default=WORDS) as far:
        document = config(cloud(far.base_url), house(near.base_url))
        log = tmp_path / "access.log"
        async with RunningRouter(tmp_path, document, bounds=QUICK, log=log) as router:
            await router.ask(chat())
            give(router, live(seconds=3))
            await in_fault(router)
            await router.ask(chat())
            assert await told(router) is not None
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["drill"] for line in lines] == ["", "cloud"]
        assert lines[1]["attempts"][0].startswith("cloud:unreachable"), lines[1]
