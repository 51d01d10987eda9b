"""The sample of an Ingress with a real nginx: streams come as they are made, and what nginx would do of its own accord is off."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.front.clients import known_as, streamed
from e2e.front.ingress import PREFIX, ingress
from testbed.house import ROOT
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence

pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]
SAMPLE: Object = yaml.safe_load((ROOT / "manifests" / "samples" / "ingress-streams.yaml").read_text())
HOST = SAMPLE["spec"]["rules"][0]["host"]
SLOW = Answer(words=12, interval=0.2)


def with_annotations(**annotations: str) -> Object:
    """The sample with annotations of another value."""
    made = copy.deepcopy(SAMPLE)
    made["metadata"]["annotations"] |= {PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}
    return made


async def test_events_come_as_they_are_made(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=SLOW) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        ingress(tmp_path, SAMPLE, router.router.listen_port) as port,
    ):
        text, times = await streamed(port, HOST, chat(stream=True))
        (asked,) = model.requests
    assert fault(text, SLOW.words) is None
    assert asked.finished_at is not None and times[0] < asked.finished_at


async def test_a_model_that_thinks_is_waited_for(tmp_path: Path) -> None:
    """nginx gives up after its read timeout; the sample's is longer than the router's own limit."""
    patient, thinking = SAMPLE["metadata"]["annotations"][f"{PREFIX}proxy-read-timeout"], Answer(header_delay=3.0)
    async with (
        ScriptedUpstream(default=thinking) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        statuses = []
        for seconds in ("1", patient):
            made = with_annotations(proxy_read_timeout=seconds)
            async with ingress(tmp_path, made, router.router.listen_port) as port:
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                answer = await http.post(url, json=chat(stream=False), headers={"host": HOST})
                statuses.append(answer.status_code)
        assert statuses == [504, 200] and int(patient) > router.table.routes[0].failover.total_seconds
        assert len(model.requests) == 2, "nobody in front tries again"


async def test_a_large_request_passes(tmp_path: Path) -> None:
    body = chat(stream=False, messages=[{"role": "user", "content": "x" * 3_000_000}])
    async with (
        ScriptedUpstream(default=Answer(words=3)) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        statuses = []
        for size in ("1m", SAMPLE["metadata"]["annotations"][f"{PREFIX}proxy-body-size"]):
            async with ingress(tmp_path, with_annotations(proxy_body_size=size), router.router.listen_port) as port:
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                statuses.append((await http.post(url, json=body, headers={"host": HOST})).status_code)
        assert statuses == [413, 200], "ingress-nginx takes 1m of its own accord"


async def test_a_client_that_leaves_frees_the_model(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Silence()) as model,
        RunningRouter(tmp_path, config(house(model.base_url))) as router,
        ingress(tmp_path, SAMPLE, router.router.listen_port) as port,
    ):
        leaving = asyncio.create_task(streamed(port, HOST, chat(stream=True)))
        await until(lambda: bool(model.requests), what="the model is asked")
        leaving.cancel()
        await until(lambda: model.requests[0].client_left_at is not None, what="the model hears that the client left")


async def test_the_client_is_known_behind_it_and_nobody_pretends_to_be_another(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream(default=Answer(words=3)) as model:
        content = {**config(house(model.base_url)), "trustedProxies": ["127.0.0.1/32"]}
        async with (
            RunningRouter(tmp_path, content, log=log) as router,
            ingress(tmp_path, SAMPLE, router.router.listen_port) as port,
        ):
            assert await known_as(port, HOST, log) == ["127.0.0.7", "127.0.0.8"]
