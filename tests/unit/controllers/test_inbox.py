"""Which keys an event concerns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genset import names
from genset.controllers.inbox import Inbox
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics

HOUSE = Key(names.MODEL_DEPLOYMENT, "models", "house")
ASSISTANT = Key(names.ROUTE_POLICY, "models", "assistant")


class Bench:
    """An inbox with everything around it; `taken` empties the queue."""

    def __init__(self) -> None:
        self.queue: WorkQueue[Key] = WorkQueue(Metrics())
        self.references, self.echoes = References(), Echoes()
        self.inbox = Inbox(self.queue, self.references, self.echoes, self.queue.metrics, settle=0.01)

    async def taken(self) -> set[Key]:
        found: set[Key] = set()

        async def body(key: Key) -> None:
            found.add(key)

        task = asyncio.create_task(self.queue.run(1, body))
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found


def resource(generation: int, version: str, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "models", "name": "house", "uid": "u1", "generation": generation, "resourceVersion": version,
            **metadata,
        }
    }  # fmt: skip


async def test_a_new_spec_concerns_the_resource_and_the_policies_that_name_it() -> None:
    bench = Bench()
    bench.references.set_deployments(ASSISTANT, ["house"])
    bench.references.set_deployments(Key(names.ROUTE_POLICY, "elsewhere", "assistant"), ["house"])
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "ADDED", resource(1, "1"))
    assert await bench.taken() == {HOUSE, ASSISTANT}
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", resource(2, "2"))
    assert await bench.taken() == {HOUSE, ASSISTANT}
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "DELETED", resource(2, "3"))
    assert await bench.taken() == {HOUSE, ASSISTANT}


async def test_our_own_status_write_concerns_nobody_and_that_of_others_the_resource() -> None:
    bench = Bench()
    bench.references.set_deployments(ASSISTANT, ["house"])
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "ADDED", resource(1, "1"))
    await bench.taken()
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", resource(1, "2"))
    bench.echoes.wrote(resource(1, "2"))  # the answer to the write arrives after its event
    assert await bench.taken() == set()
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", resource(1, "3"))
    assert await bench.taken() == {HOUSE}


async def test_a_deletion_mark_is_news() -> None:
    bench = Bench()
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "ADDED", resource(1, "1"))
    await bench.taken()
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", resource(1, "2", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert await bench.taken() == {HOUSE}


CHILDREN = [
    ({names.LABEL_MODEL_DEPLOYMENT: "house"}, {HOUSE}),
    ({names.LABEL_ROUTE_POLICY: "assistant"}, {ASSISTANT}),
    ({names.LABEL_MANAGED_BY: names.MANAGED_BY}, set()),
    (None, set()),
]


@pytest.mark.parametrize(("labels", "keys"), CHILDREN)
async def test_a_child_concerns_its_owner(labels: dict[str, str] | None, keys: set[Key]) -> None:
    bench = Bench()
    body = {"metadata": {"namespace": "models", "name": "x", "uid": "c", "resourceVersion": "7", "labels": labels}}
    bench.inbox.child("Pod", "MODIFIED", body)
    assert await bench.taken() == keys


def test_references_forget_what_is_no_longer_named() -> None:
    references = References()
    references.set_deployments(ASSISTANT, ["a", "b"])
    references.set_deployments(ASSISTANT, ["b"])
    assert references.dependents("models", "a") == ()
    assert references.dependents("models", "b") == (ASSISTANT,)
    references.set_secrets(ASSISTANT, {"cloud": "5", "gone": None})
    assert references.secrets() == {("models", "cloud"): [(ASSISTANT, "5")], ("models", "gone"): [(ASSISTANT, None)]}
    references.drop(ASSISTANT)
    assert references.secrets() == {} and references.keys() == frozenset()


def test_echoes_are_bounded() -> None:
    echoes = Echoes(size=2)
    for version in ("1", "2", "3"):
        echoes.wrote({"metadata": {"uid": "u", "resourceVersion": version}})
    assert [echoes.is_own({"uid": "u", "resourceVersion": version}) for version in ("1", "2", "3")] == [
        False,
        True,
        True,
    ]


async def test_the_annotation_that_asks_for_new_pods_is_no_mere_metadata() -> None:
    bench = Bench()
    bench.inbox.resource(names.MODEL_DEPLOYMENT, None, resource(1, "1"))
    assert await bench.taken() == {HOUSE}
    for version, said in (("2", {names.ANNOTATION_ROLL: "1"}), ("3", {names.ANNOTATION_ROLL: "2"}), ("4", {})):
        bench.echoes.wrote(resource(1, version))  # so that nothing else would have it reconciled
        bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", resource(1, version, annotations=said))
        assert await bench.taken() == {HOUSE}


def standing(version: str, ready: str, *nodes: str, **status: Any) -> dict[str, Any]:
    told = {
        "conditions": [{"type": "Ready", "status": ready, "reason": "Ready" if ready == "True" else "Starting"}],
        **status,
    }
    return {**resource(1, version), "status": {**told, "capacity": [{"node": node, "replicas": 1} for node in nodes]}}


async def test_what_policies_reckon_with_concerns_them_also_if_we_wrote_it() -> None:
    """A policy says what it survives: a model that has become ready, or is on another node, changes that."""
    bench = Bench()
    bench.references.set_deployments(ASSISTANT, ["house"])
    bench.inbox.resource(names.MODEL_DEPLOYMENT, "ADDED", standing("1", "False"))
    await bench.taken()
    seen = []
    for version, told in enumerate(
        (
            standing("2", "False"),
            standing("3", "True", "a"),
            standing("4", "True", "a", price={"perHour": "1"}),
            standing("5", "True", "b"),
            standing("6", "True", "b", desiredReplicas=1),
        ),
        2,
    ):
        bench.echoes.wrote({"metadata": {"uid": "u1", "resourceVersion": str(version)}})
        bench.inbox.resource(names.MODEL_DEPLOYMENT, "MODIFIED", told)
        seen.append(ASSISTANT in await bench.taken())
    assert seen == [False, True, False, True, True]
