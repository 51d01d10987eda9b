"""Two real models that share a device in turns: one is there at a time, they swap when asked, and no request is lost."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import pytest

from e2e.load import Load
from e2e.world import World, until
from genset.times import seconds
from testbed.house import House, Object
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(420)
MODELS = ("writer", "coder")
LEAST = 6  # seconds of a turn, however busy the other one is
TURNS = 2  # to have ended: there and back


@dataclass
class Turn:
    """A turn is one pod. Times are seconds since 1970, 0 while it has not come."""

    model: str
    ready: float = 0.0
    leaves: float = 0.0


@dataclass
class Device:
    """The device as somebody sees it who lists its pods again and again."""

    house: House
    namespace: str
    turns: dict[str, Turn] = field(default_factory=dict)  # by the pod's name
    shared: list[set[str]] = field(default_factory=list)  # models that were there together

    @property
    def ended(self) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.leaves]

    def look(self) -> None:
        pods = [
            pod
            for pod in self.house.list("pods", self.namespace, "genset.dev/modeldeployment")
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        there = {pod["metadata"]["labels"]["genset.dev/modeldeployment"] for pod in pods}
        if len(there) > 1:
            self.shared.append(there)
        names = {pod["metadata"]["name"] for pod in pods}
        for pod in pods:
            self._note(pod)
        for name, turn in self.turns.items():
            if name not in names and not turn.leaves:
                turn.leaves = time.time()

    def _note(self, pod: Object) -> None:
        about = pod["metadata"]
        turn = self.turns.setdefault(about["name"], Turn(about["labels"]["genset.dev/modeldeployment"]))
        if about.get("deletionTimestamp") and not turn.leaves:
            turn.leaves = time.time()
        for condition in pod["status"].get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] == "True" and not turn.ready:
                turn.ready = seconds(condition["lastTransitionTime"])


async def test_two_models_take_turns_at_a_device(world: World, scratch: str) -> None:
    house = world.house
    pool = {"name": "device", "minAwakeSeconds": LEAST}
    source = world.weights.source("counting.gguf")
    policy = route_policy(scratch, "turns", [{"name": name, "deployment": {"name": name}} for name in MODELS])
    policy["spec"]["routes"] = [
        {
            "name": name,
            "match": {"models": [name]},
            "tiers": [{"backends": [{"name": name}]}],
            "coldStart": {"mode": "Hold", "seconds": 120},
        }
        for name in MODELS
    ]
    policy["spec"]["router"]["replicas"] = 1
    for name in MODELS:
        more = {"cache": {"size": "200Mi"}, "rollout": {"drainSeconds": 3}, "autoscaling": {"pool": pool}}
        house.apply(model_deployment(scratch, name, source, **more))
    house.apply(policy)
    await asyncio.to_thread(house.until, "rp", scratch, "turns", "Programmed", seconds=90)
    url = await asyncio.to_thread(world.service_url, scratch, "turns-router") + "/v1"
    device = Device(house, scratch)

    def over() -> bool:
        device.look()
        return len(device.ended) >= TURNS

    async with (
        Load(url, MODELS[0], clients=2, pause=0.2) as writing,
        Load(url, MODELS[1], clients=2, pause=0.2) as coding,
    ):
        await until(over, lambda: f"{TURNS} turns to end, of {device.turns}", seconds=180)
    assert not device.shared, f"there together: {device.shared[:3]}"
    order = [turn.model for turn in sorted(device.ended, key=lambda turn: turn.leaves)]
    assert all(one != other for one, other in itertools.pairwise(order)), f"no turns: {order}"
    short = [turn for turn in device.ended if turn.leaves - turn.ready < LEAST - 1]  # a condition tells whole seconds
    assert not short, f"swapped before {LEAST} s of service: {short}"
    for load in (writing, coding):
        assert not load.lost, f"clients of {load.model} saw {[answer.problem for answer in load.lost[:3]]}"
        assert len(load.answers) > 2, f"{load.model} hardly answered"
    slowest = max(answer.seconds_to_first_byte for load in (writing, coding) for answer in load.answers)
    print(
        f"{len(order)} turns, {len(writing.answers)} and {len(coding.answers)} answers, the slowest began after {slowest:.0f} s"
    )
