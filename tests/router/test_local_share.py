"""Routers count whose answers a route has given, tell the operator, and show it as metrics."""

from __future__ import annotations

from pathlib import Path

from genset.contracts.router_admin import CONFIG_PATH, ConfigReport
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status


async def shares(router: RunningRouter) -> list[tuple[str, int, int]]:
    report = ConfigReport.from_json((await router.admin(CONFIG_PATH)).body)
    assert report is not None
    return [(one.route, one.answers, one.house) for one in report.shares]


async def test_whole_answers_count_for_whoever_gave_them(tmp_path: Path) -> None:
    cut = Answer(words=10, brk=Break("rst", after_chunks=4), interval=0.01)
    script = [Answer(), Answer(), cut, Status(400, {"error": {"message": "no"}}), *[Status(503)] * 4]
    async with ScriptedUpstream(script) as near, ScriptedUpstream() as far:
        document = config(house(near.base_url), cloud(far.base_url, continuation="Prefill"))
        watched = document["routes"][0]
        watched["localShare"] = {"windowSeconds": 3600}
        async with RunningRouter(tmp_path, document) as router:
            for _ in range(5):
                await router.ask(chat())
            assert await shares(router) == [("route", 4, 2)], (
                "a failover and a continuation are the cloud's; a refusal none"
            )
            metrics = (await router.admin("/metrics")).body.decode()
            assert 'genset_route_answers_total{by="house",route="route"} 2.0' in metrics
            assert 'genset_route_answers_total{by="elsewhere",route="route"} 2.0' in metrics
            document["policy"]["generation"] = 2
            router.write(document)
            await until(
                lambda: router.table.config.policy.generation == 2, what="the same share in a new configuration"
            )
            assert await shares(router) == [("route", 4, 2)]
            del watched["localShare"]
            router.write(document)
            await until(lambda: router.table.config.routes[0].local_share is None, what="nobody asks any more")
            assert await shares(router) == []
