"""No room: a pod that must wait is told from one that no node could ever take, with what would fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset.sizing.nodes import Accelerators, Node
from genset.status import room, size
from genset.status.conditions import Verdict
from genset.status.observed import ModelDeploymentObserved
from genset.status.pod import PodView
from tests.support.sizing import families
from tests.unit.status.test_size import observed, resource

GIB = 2**30
REFUSED = Verdict("False", "Unschedulable", "No node can take pod m: 0/3 nodes are available")
SMALL, LARGE = Node("small", 4, 8 * GIB), Node("large", 16, 64 * GIB)
GPU = Node("gpu", 16, 64 * GIB, (Accelerators("nvidia", 1, 24 * GIB, "L4", "nvidia.com/gpu"),))


def deployment(**requests: str) -> dict[str, Any]:
    container = {"name": "engine", "resources": {"requests": {"ephemeral-storage": "64Mi", **requests}}}
    return {"spec": {"template": {"spec": {"initContainers": [container], "containers": [container]}}}}


def seen(words: str = "", **requests: str) -> ModelDeploymentObserved:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    pod = PodView.of({"metadata": {"name": "m"}, "status": {"phase": "Pending", "conditions": [scheduled]}})
    return ModelDeploymentObserved(deployment=deployment(**requests), pods=(pod,))


def test_what_would_need_less_is_told() -> None:
    model = size.facts(observed(families.LLAMA31_8B))
    found = room.told(resource(context={"tokens": 32768, "parallel": 4}), model, REFUSED, seen(), None)
    assert found is not None and found.reason == "Unschedulable" and not found.needs_person
    assert found.message.startswith("No node can take pod m: 0/3 nodes are available; its model needs about 20.")
    assert "with spec.context.parallel 1" in found.message
    assert "with half of spec.context.tokens (16384)" in found.message
    small = room.told(resource(context={"tokens": 1024, "parallel": 1}), model, REFUSED, seen(), None)
    assert small is not None and "with weights of IQ3_XXS" in small.message


def test_another_verdict_stays_as_it_is() -> None:
    other = Verdict("False", "CrashLoop", "x")
    assert room.told(resource(), None, other, seen(memory="64Gi"), (SMALL,)) is other
    assert room.told(resource(), None, None, seen(), (SMALL,)) is None


@pytest.mark.parametrize(
    ("nodes", "requests", "never"),
    [
        ((SMALL, LARGE), {"memory": "64Gi", "cpu": "16"}, False),
        ((SMALL, LARGE), {"memory": "65Gi", "cpu": "1"}, True),
        ((SMALL, LARGE), {"memory": "1Gi", "cpu": "16001m"}, True),
        ((SMALL, LARGE), {"memory": "1Gi", "nvidia.com/gpu": "1"}, True),
        ((SMALL, GPU), {"memory": "1Gi", "nvidia.com/gpu": "1"}, False),
        ((SMALL, GPU), {"memory": "1Gi", "nvidia.com/gpu": "2"}, True),
        ((SMALL, GPU), {"memory": "1Gi", "amd.com/gpu": "1"}, True),
        ((SMALL, replace(LARGE, ready=False)), {"memory": "60Gi"}, True),  # cordoned: not of today
        (None, {"memory": "999Gi"}, False),  # no right to see nodes: nothing is said of them
        ((), {"memory": "999Gi"}, False),
    ],
)
def test_a_pod_that_no_empty_node_could_take(
    nodes: tuple[Node, ...] | None, requests: dict[str, str], never: bool
) -> None:
    found = room.told(resource(), None, REFUSED, seen(**requests), nodes)
    assert found is not None
    assert (found.reason, found.needs_person) == (("NoNodeFits", True) if never else ("Unschedulable", False))


def test_the_nearest_node_and_what_would_fit_it_are_named() -> None:
    model = size.facts(observed(families.LLAMA31_8B))
    spec = {"context": {"tokens": 32768, "parallel": 4}, "resources": {"memory": "24Gi"}}
    found = room.told(resource(**spec), model, REFUSED, seen(memory="24Gi", cpu="2"), (SMALL,))
    assert found is not None
    assert (
        "the pod asks for 2 cores, 24.0 GiB of memory, and the nearest, small, has 4 cores, 8.0 GiB of memory"
        in found.message
    )
    assert "it would fit small with context.tokens 4096" in found.message
    generous = room.told(resource(resources={"memory": "80Gi"}), model, REFUSED, seen(memory="80Gi"), (LARGE,))
    assert generous is not None and "the model itself would fit large: ask for 6.8 GiB" in generous.message


@pytest.mark.parametrize(
    ("words", "never"),
    [
        # kube-scheduler 1.32 and later: what is more than a node has in all is not worth an eviction
        ("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 Preemption is not helpful "
         "for scheduling.", True),
        ("0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient nvidia.com/gpu. no new "
         "claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.", True),
        ("0/2 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-"
         "plane: }. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.", True),
        ("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 1 No preemption victims found for "
         "incoming pod, 1 Preemption is not helpful for scheduling.", False),
        ("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for "
         "incoming pod.", False),
        ("0/10 nodes are available: 1 node(s) had untolerated taint(s), 9 Insufficient nvidia.com/gpu. no new claims to "
         "deallocate, preemption: 0/10 nodes are available: 10 Preemption is not helpful for scheduling.", True),
        ("0/2 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: 2 "
         "Preemption is not helpful for scheduling.", False),
        ("0/2 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. "
         "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.", False),
        ("0/2 nodes are available: 2 cannot allocate all claims. preemption: 0/2 nodes are available: 2 Preemption is not "
         "helpful for scheduling.", False),
        ("running PreBind plugin: x", False),
        ("", False),
    ],
)  # fmt: skip
def test_the_schedulers_own_words_tell_it_without_a_right_to_see_nodes(words: str, never: bool) -> None:
    assert room.never_fits(words) is never
    found = room.told(resource(), None, REFUSED, seen(words, memory="64Gi", cpu="2"), None)
    assert found is not None and (found.reason == "NoNodeFits") is never
    assert (
        "none of today could, were it empty: the pod asks for 2 cores, 64.0 GiB of memory" in found.message
    ) is never


def test_it_is_told_before_there_is_a_pod() -> None:
    found = room.hopeless(seen(memory="24Gi", cpu="2"), (SMALL,))
    assert found is not None and (found.status, found.reason) == ("True", "NoNodeFits")
    assert "the nearest, small, has 4 cores, 8.0 GiB of memory" in found.message
    assert room.hopeless(seen(memory="24Gi", cpu="2"), (LARGE,)) is None
    assert room.hopeless(seen(memory="24Gi", cpu="2"), None) is None
    assert room.hopeless(ModelDeploymentObserved(), (SMALL,)) is None
