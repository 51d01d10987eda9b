"""A drill takes a backend away from requests of its own, over real sockets, while clients notice nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from genset.contracts.drill import DrillPhase, DrillReport, Fault
from genset.contracts.router_admin import CONFIG_PATH, ConfigReport
from genset.router.drills.run import RunTimes
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

QUICK = Bounds(drills=RunTimes(baseline=5.0, recovery=40.0))


def order(**more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "id": "cloud-1",
        "name": "cloud",
        "takes": ["cloud"],
        "fault": "Refused",
        "seconds": 2,
        "probesPerSecond": 10,
        "prompt": "ping",
        "objective": {"rtoSeconds": 1, "lost": 0},
        "previous": "",
        **more,
    }


def give(router: RunningRouter, document: dict[str, Any] | None) -> None:
    """Orders a drill as the kubelet brings it, or calls it off."""
    file = router.config_dir / "drill.json"
    if document is None:
        file.unlink()
        return
    new = router.config_dir / "..drill"
    new.write_text(json.dumps(document))
    new.rename(file)


async def told(router: RunningRouter) -> DrillReport | None:
    report = ConfigReport.from_json((await router.admin(CONFIG_PATH)).body)
    assert report is not None
    return report.drill


async def ended(router: RunningRouter, within: float = 120.0, id_: str = "") -> DrillReport:
    async with asyncio.timeout(within):
        while (report := await told(router)) is None or not report.ended or (id_ and report.id != id_):
            await asyncio.sleep(0.05)
        return report


class Live:
    """Live traffic asks ten times a second, all the while."""

    def __init__(self, router: RunningRouter) -> None:
        self._router = router
        self.answers: list[Response] = []

    async def __aenter__(self) -> Live:
        self._task = asyncio.create_task(self._ask())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _ask(self) -> None:
        while True:
            self.answers.append(await self._router.ask(chat()))
            await asyncio.sleep(0.1)


async def test_clients_notice_nothing_of_a_drill(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(cloud(far.base_url), house(near.base_url))
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router, Live(router) as live:
            give(router, order())
            report = await ended(router)
            assert report.phase == DrillPhase.PASSED, report
            measured = report.measured
            assert measured.requests >= 15 and measured.lost == measured.cut == 0, measured
            assert measured.degraded >= 10, "the house answers while the cloud is away"
            assert measured.rto is not None and measured.rto < 0.5, measured
            assert measured.detection is not None and measured.detection < 1.0, measured
            assert measured.give_back is not None and measured.give_back < 30, measured
            assert len(live.answers) > 20
            assert {answer.headers["x-genset-attempts"].split(":")[0] for answer in live.answers} == {"cloud"}
            assert all(answer.complete for answer in live.answers)
            state = await router.state("cloud")
            assert state["breaker"]["state"] == "closed" and not state.get("whyNot"), state
            assert not (await router.admin("/-/state")).json["outages"]
            assert (
                'genset_router_outage_flips_total{scope="House"} 0.0' in (await router.admin("/metrics")).body.decode()
            )
            give(router, None)
            await until(lambda: router.router.parts.drills.report is None, what="the drill is forgotten")


#: By fault: the seconds in which requests have to be answered again, and from which sides of a policy it is taken here.
WITHIN = {
    Fault.REFUSED: (0.5, "cloud house"),
    Fault.BLACKHOLE: (2.6, "cloud house"),  # the connect deadline of a cloud
    Fault.RATE_LIMITED: (0.5, "cloud"),
    Fault.SLOW_FIRST_TOKEN: (1.7, "cloud house"),
    Fault.CUT_STREAM: (0.5, "cloud house"),
    Fault.SUSPENDED: (0.5, "cloud"),
    Fault.MODEL_GONE: (0.5, "house"),
    Fault.OVER_BUDGET: (0.5, "cloud"),
}


@pytest.mark.parametrize(("fault", "side"), [(fault, side) for fault in Fault for side in WITHIN[fault][1].split()])
async def test_each_fault_is_met_and_survived(tmp_path: Path, fault: Fault, side: str) -> None:
    within = WITHIN[fault][0]
    async with ScriptedUpstream(default=Answer(words=12)) as near, ScriptedUpstream(default=Answer(words=12)) as far:
        both = {"cloud": cloud(far.base_url), "house": house(near.base_url)}
        other = "house" if side == "cloud" else "cloud"
        document = config(both[side], both[other], failover={"firstTokenSeconds": 1})
        async with RunningRouter(tmp_path, document, bounds=QUICK) as router, Live(router) as live:
            give(
                router,
                order(takes=[side], fault=fault, seconds=4, probesPerSecond=5, objective={"rtoSeconds": 3, "lost": 0}),
            )
            report = await ended(router)
            measured = report.measured
            assert report.phase == DrillPhase.PASSED, report
            assert measured.rto is not None and measured.rto <= within, measured
            assert measured.detection is not None and measured.detection < 4, measured
            assert measured.lost == measured.cut == 0, measured
            assert (measured.continued > 0) is (fault is Fault.CUT_STREAM), measured
            assert {answer.headers["x-genset-attempts"].split(":")[0] for answer in live.answers} == {side}
            assert all(answer.complete for answer in live.answers)
