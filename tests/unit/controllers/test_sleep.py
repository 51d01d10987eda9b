"""Servers that sleep while their model is at rest: who is told what, and when it is asked again."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.controllers import sleep
from genset.engines import managed_engine_of, vllm
from genset.kube.metrics import Metrics
from genset.kube.probe import Prober
from genset.names import ENGINE_PORT
from genset.status.pod import PodView
from tests.support.fake_vllm import FakeVllm


def resource(rest: str = "Sleep") -> ModelDeployment:
    spec: dict[str, Any] = {
        "engine": "vllm", "source": {"huggingFace": {"repo": "a/b"}}, "autoscaling": {"rest": rest},
        "resources": {"accelerator": {"count": 1}},
    }  # fmt: skip
    return ModelDeployment.model_validate({"metadata": {"name": "m", "uid": "u"}, "spec": spec})


def pod(*, leaving: bool = False) -> PodView:
    gone = {"deletionTimestamp": "2026-11-21T10:00:00Z"} if leaving else {}
    return PodView.of({"metadata": {"name": "m-1", **gone}, "status": {"phase": "Running", "podIP": "127.0.0.1"}})


async def settle(server: FakeVllm, found: ModelDeployment, seen: PodView, *, awake: bool) -> float | None:
    prober = Prober(Metrics())
    try:
        return await sleep.settle(prober, found, [seen], awake=awake, port=server.port)
    finally:
        await prober.close()


@pytest.mark.parametrize("awake", [True, False])
async def test_it_is_told_once_and_then_left_alone(awake: bool) -> None:
    with FakeVllm(asleep=awake) as server:
        assert await settle(server, resource(), pod(), awake=awake) == sleep.AGAIN_SECONDS
        assert server.asleep is not awake
        assert await settle(server, resource(), pod(), awake=awake) is None
    told = ("/wake_up", {}) if awake else ("/sleep", {"level": ["1"], "mode": ["wait"]})
    assert server.told == [told]


@pytest.mark.parametrize(("awake", "again"), [(True, None), (False, sleep.AGAIN_SECONDS)])
async def test_a_server_that_does_not_say_is_starting(awake: bool, again: float | None) -> None:
    with FakeVllm(dev_mode=False) as server:
        assert await settle(server, resource(), pod(), awake=awake) == again
    assert server.told == []


async def test_nobody_else_is_asked() -> None:
    with FakeVllm() as server:
        assert await settle(server, resource("Scale"), pod(), awake=False) is None
        assert await settle(server, resource(), pod(leaving=True), awake=False) is None
    assert server.told == []


@pytest.mark.parametrize("asleep", [True, False])
def test_a_server_that_sleeps_is_well_and_not_ready(asleep: bool) -> None:
    engine = managed_engine_of(resource())
    assert engine is not None
    probes = engine.probes(resource())
    assert probes.liveness["httpGet"]["path"] == "/health", "it is not ended for its sleep"
    _, option, program = probes.readiness["exec"]["command"]
    assert program == vllm._AWAKE
    with FakeVllm(asleep=asleep) as server:
        here = program.replace(f"localhost:{ENGINE_PORT}", f"127.0.0.1:{server.port}")
        ended = subprocess.run([sys.executable, option, here], check=False, capture_output=True, timeout=60)
    assert ended.returncode == int(asleep), ended.stderr.decode()
