"""The sample of an HTTPRoute with a real Envoy: what clients get through it is what the router sends, for as long as it does."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.front.clients import known_as, streamed
from e2e.front.gateway import gateway
from testbed.house import ROOT
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence

pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]
SAMPLE: Object = yaml.safe_load((ROOT / "manifests" / "samples" / "httproute-streams.yaml").read_text())
HOST = SAMPLE["spec"]["hostnames"][0]
ENVOY_SECONDS = 15  # of its default for a whole answer
SLOW = Answer(words=ENVOY_SECONDS + 4, interval=1.0)


def without_timeouts() -> Object:
    """The sample as somebody would write it who does not think of streams."""
    route = copy.deepcopy(SAMPLE)
    for rule in route["spec"]["rules"]:
        del rule["timeouts"]
    return route


async def test_a_slow_stream_lasts_as_long_as_its_answer(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=SLOW) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        gateway(tmp_path, SAMPLE, router.router.listen_port) as port,
    ):
        text, times = await streamed(port, HOST, chat(stream=True))
        (asked,) = model.requests
    assert fault(text, SLOW.words) is None
    assert times[-1] - times[0] > ENVOY_SECONDS, "longer than Envoy's own limit"
    assert asked.finished_at is not None and times[0] < asked.finished_at, "events are passed on as they come"


async def test_without_its_timeouts_the_route_cuts_streams(tmp_path: Path) -> None:
    """What the sample is for: Envoy ends a stream after 15 s, and clients see it cut."""
    async with (
        ScriptedUpstream(default=SLOW) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        gateway(tmp_path, without_timeouts(), router.router.listen_port) as port,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await streamed(port, HOST, chat(stream=True))


async def test_a_client_that_leaves_frees_the_model(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Silence()) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        gateway(tmp_path, SAMPLE, router.router.listen_port) as port,
    ):
        leaving = asyncio.create_task(streamed(port, HOST, chat(stream=True)))
        await until(lambda: bool(model.requests), what="the model is asked")
        leaving.cancel()
        await until(lambda: model.requests[0].client_left_at is not None, what="the model hears that the client left")
        await until(lambda: not router.exchanges, what="the router has forgotten it")


async def test_the_client_is_known_behind_it_and_nobody_pretends_to_be_another(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream(default=Answer(words=3)) as model:
        content = {**config(house(model.base_url)), "trustedProxies": ["127.0.0.1/32"]}
        async with (
            RunningRouter(tmp_path, content, log=log) as router,
            gateway(tmp_path, SAMPLE, router.router.listen_port) as port,
        ):
            assert await known_as(port, HOST, log) == ["127.0.0.7", "127.0.0.8"]


async def test_other_hosts_and_paths_do_not_reach_the_router(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        gateway(tmp_path, SAMPLE, router.router.listen_port) as port,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        for path, host in (("/v1/models", "elsewhere.example"), ("/-/config", HOST), ("/v1x", HOST)):
            answer = await http.get(f"http://127.0.0.1:{port}{path}", headers={"host": host})
            assert answer.status_code == 404 and answer.headers["server"] == "envoy"
        assert (await http.get(f"http://127.0.0.1:{port}/v1/models", headers={"host": HOST})).status_code == 200
