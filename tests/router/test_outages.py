"""Outages over real sockets: what clients, /-/state, /-/config and /metrics see when a whole side is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, pods
from testbed.upstream import steps
from testbed.upstream.client import Response, chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.tls import Authority

HERE, THERE = "127.0.0.1", "127.0.0.2"  # two hosts, to the router
PROBED_OFTEN, PROBED_LATER = Bounds(cloud_probe=0.1), Bounds(cloud_probe=600.0)


async def outages(router: RunningRouter) -> list[dict[str, Any]]:
    """What people are shown; the operator is told the same."""
    while True:
        told = (await router.admin("/-/config")).json["outages"]
        found: list[dict[str, Any]] = (await router.admin("/-/state")).json["outages"]
        if [_identity(item) for item in told] == [_identity(item) for item in found]:
            return found


def _identity(item: dict[str, Any]) -> tuple[str, str | None]:
    return item["scope"], item.get("backend")


async def until_outages(router: RunningRouter, *scopes: str, within: float = 6.0) -> None:
    async with asyncio.timeout(within):
        while [item["scope"] for item in await outages(router)] != list(scopes):
            await asyncio.sleep(0.02)


async def metric(router: RunningRouter, line: str) -> float:
    text = (await router.admin("/metrics")).body.decode()
    return float(next(found for found in text.splitlines() if found.startswith(line)).split()[-1])


def asked(answer: Response) -> list[str]:
    """Backends that were tried for the answer."""
    return [attempt.split(":")[0] for attempt in answer.headers["x-genset-attempts"].split(", ")]


async def test_two_hosts_open_the_whole_cloud_and_a_probe_closes_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as one, ScriptedUpstream(host=THERE) as two, ScriptedUpstream() as local:
        await one.stop_listening()
        await two.stop_listening()
        clouds = [cloud(one.base_url, "one"), cloud(two.base_url, "two"), cloud(two.base_url, "more")]
        async with RunningRouter(tmp_path, config(*clouds, house(local.base_url)), bounds=PROBED_OFTEN) as router:
            first = await router.ask(chat())
            assert first.complete and asked(first) == ["one", "two", "house"], "the third is passed over already"
            second = await router.ask(chat())
            assert second.complete and fault(second.text, 10) is None and asked(second) == ["house"]
            assert second.headers["x-genset-reason"] == "egress_down"
            (told,) = await outages(router)
            assert told["scope"] == "Cloud" and HERE in told["detail"] and THERE in told["detail"]
            assert (await router.state("more"))["whyNot"] == "egress_down"
            assert await metric(router, 'genset_router_outage{scope="Cloud"}') == 1
            await asyncio.sleep(0.3)
            assert await outages(router), "probes that fail change nothing"
            two.listen()
            await until_outages(router)
            third = await router.ask(chat())
            assert third.complete and asked(third)[-1] == "two"
            assert await metric(router, 'genset_router_outage{scope="Cloud"}') == 0
            assert await metric(router, 'genset_router_outage_flips_total{scope="Cloud"}') == 2


async def test_a_probe_proves_tls_as_well(tmp_path: Path) -> None:
    trusted, portal = Authority(), Authority()  # a captive portal answers for everyone
    async with ScriptedUpstream(tls=portal) as one, ScriptedUpstream(tls=portal, host=THERE) as two:
        clouds = [cloud(one.base_url, "one", url={"caFile": "ca"}), cloud(two.base_url, "two", url={"caFile": "ca"})]
        async with ScriptedUpstream() as local:
            content = config(*clouds, house(local.base_url))
            async with RunningRouter(tmp_path, content, {"ca": trusted.ca_pem}, bounds=PROBED_OFTEN) as router:
                assert asked(await router.ask(chat())) == ["one", "two", "house"]
                await until_outages(router, "Cloud")
                before = one.accepted + two.accepted
                await asyncio.sleep(0.5)
                assert one.accepted + two.accepted > before, "it was not probed"
                assert await outages(router)
                port = two.port
                await two.kill()
                async with ScriptedUpstream(tls=trusted, names=(THERE,), host=THERE) as real:
                    await real.stop_listening()
                    real.port = port
                    real.listen()
                    await until_outages(router)
                assert not real.requests, "a probe asks for nothing"


async def test_with_nothing_else_left_the_cloud_is_tried_and_its_answer_ends_the_outage(tmp_path: Path) -> None:
    async with ScriptedUpstream() as one, ScriptedUpstream(host=THERE) as two:
        await one.stop_listening()
        await two.stop_listening()
        content = config(cloud(one.base_url, "one"), cloud(two.base_url, "two"))
        async with RunningRouter(tmp_path, content, bounds=PROBED_LATER) as router:
            refused = await router.ask(chat())
            assert refused.status == 502 and len(await outages(router)) == 1
            two.listen()
            answer = await router.ask(chat())
            assert answer.complete and asked(answer)[-1] == "two"
            assert await outages(router) == []


async def test_one_host_stays_with_its_breaker(tmp_path: Path) -> None:
    async with ScriptedUpstream() as gone, ScriptedUpstream() as local:
        await gone.stop_listening()
        backends = [cloud(gone.base_url, "one"), cloud(gone.base_url, "two"), house(local.base_url)]
        async with RunningRouter(tmp_path, config(*backends)) as router:
            for _ in range(4):
                assert (await router.ask(chat())).complete
            assert await outages(router) == []
            assert (await router.state("one"))["whyNot"] == "breaker_open"


async def test_a_cloud_that_only_says_no_is_no_outage(tmp_path: Path) -> None:
    ill = steps.rate_limited(60)
    async with (
        ScriptedUpstream(default=ill) as one,
        ScriptedUpstream(default=ill, host=THERE) as two,
        ScriptedUpstream() as local,
    ):
        backends = [cloud(one.base_url, "one"), cloud(two.base_url, "two"), house(local.base_url)]
        async with RunningRouter(tmp_path, config(*backends)) as router:
            assert asked(await router.ask(chat())) == ["one", "two", "house"]
            assert await outages(router) == []


async def test_the_house_goes_and_comes_back(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream(host=THERE) as other, ScriptedUpstream() as far:
        house_of = [pods(HERE, local.port, "one"), pods(THERE, other.port, "two")]
        async with RunningRouter(tmp_path, config(*house_of, cloud(far.base_url))) as router:
            assert (await router.admin("/-/config")).json["unknown"] == []
            await local.kill()
            answer = await router.ask(chat())
            assert answer.complete and answer.headers["x-genset-backend"] == "two" and await outages(router) == []
            await other.kill()
            await until_outages(router, "House")
            answer = await router.ask(chat())
            assert asked(answer) == ["cloud"] and answer.headers["x-genset-reason"] == "house_down"
            assert await metric(router, 'genset_router_outage{scope="House"}') == 1
            other.listen()
            await until_outages(router)
            assert await metric(router, 'genset_router_outage_flips_total{scope="House"}') == 2


async def test_a_house_that_was_never_up_is_not_called_down(tmp_path: Path) -> None:
    """A model that is still being downloaded is no outage, and a router that starts in one cannot tell."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        await local.stop_listening()
        async with RunningRouter(tmp_path, config(pods(HERE, local.port), cloud(far.base_url))) as router:
            assert asked(await router.ask(chat())) == ["cloud"]
            await asyncio.sleep(0.3)
            view = (await router.admin("/-/config")).json
            assert view["outages"] == [] and view["unknown"] == ["House"]
            local.listen()
            async with asyncio.timeout(6):
                while (await router.admin("/-/config")).json["unknown"]:
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("step", "cause"), [(steps.unauthorized(), "auth"), (steps.model_not_found(), "model_not_found")]
)
async def test_a_backend_that_refuses_is_told_until_its_key_changes(
    tmp_path: Path, step: steps.Step, cause: str
) -> None:
    refused = ScriptedUpstream(choose=lambda r: step if "sk-old" in str(r.headers) and r.method == "POST" else None)
    async with refused as far, ScriptedUpstream() as local:
        content = config(cloud(far.base_url, url={"keyFile": "key"}), house(local.base_url))
        async with RunningRouter(tmp_path, content, {"key": b"sk-old"}) as router:
            assert asked(await router.ask(chat())) == ["cloud", "house"]
            await until_outages(router, "Backend")
            (told,) = await outages(router)
            assert (told["scope"], told["backend"], told["cause"]) == ("Backend", "cloud", cause)
            assert told["detail"].startswith("answered 40") and told["since"].endswith("Z")
            assert await metric(router, 'genset_router_outage{scope="Backend"}') == 1
            (router.credentials_dir / "key").write_bytes(b"sk-new")
            await until_outages(router)
            assert asked(await router.ask(chat())) == ["cloud"]


async def test_a_switch_outlives_a_new_configuration(tmp_path: Path) -> None:
    async with ScriptedUpstream() as one, ScriptedUpstream(host=THERE) as two:
        await one.stop_listening()
        await two.stop_listening()
        async with ScriptedUpstream() as local:
            backends = [cloud(one.base_url, "one"), cloud(two.base_url, "two"), house(local.base_url)]
            async with RunningRouter(tmp_path, config(*backends), bounds=PROBED_LATER) as router:
                await router.ask(chat())
                renamed = [cloud(one.base_url, "uno"), cloud(two.base_url, "due"), house(local.base_url)]
                router.write(config(*renamed, generation=2))
                async with asyncio.timeout(5):
                    while (await router.admin("/-/config")).json["generation"] != 2:
                        await asyncio.sleep(0.02)
                answer = await router.ask(chat())
                assert asked(answer) == ["house"] and answer.headers["x-genset-reason"] == "egress_down"
                router.write(config(renamed[0], renamed[2], generation=3))
                await until_outages(router)
