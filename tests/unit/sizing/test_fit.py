"""Nodes as the vendors label them, and how models stand on them."""

from __future__ import annotations

from typing import Any

import pytest

from genset.planning.cluster import free
from genset.sizing import fit, hf_model, mismatch, speed
from genset.sizing.fit import Ask
from genset.sizing.kv_cache import ModelUse
from genset.sizing.nodes import Accelerators, Node, NodesError, from_document, from_kubernetes
from tests.support.sizing import families

GIB = 2**30


def node(labels: dict[str, str] | None = None, **allocatable: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": "n", "labels": labels or {}},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", **allocatable},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@pytest.mark.parametrize(
    ("resource", "count", "labels", "expected"),
    [
        (
            "nvidia.com/gpu", "4", {"nvidia.com/gpu.memory": "81920", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            Accelerators("nvidia", 4, 80 * GIB, "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu"),
        ),
        (
            "nvidia.com/gpu.shared", "8",
            {"nvidia.com/gpu.memory": "24576", "nvidia.com/gpu.product": "A10-SHARED", "nvidia.com/gpu.replicas": "4"},
            Accelerators("nvidia", 8, 6 * GIB, "A10-SHARED", "nvidia.com/gpu.shared"),
        ),
        (
            "nvidia.com/mig-3g.40gb", "2", {"nvidia.com/gpu.memory": "81920"},
            Accelerators("nvidia", 2, 40 * GIB, "", "nvidia.com/mig-3g.40gb"),
        ),
        (
            "amd.com/gpu", "8", {"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "AMD_Instinct_MI300X"},
            Accelerators("amd", 8, 192 * GIB, "AMD_Instinct_MI300X", "amd.com/gpu"),
        ),
        (
            "gpu.intel.com/xe", "1", {"gpu.intel.com/memory.max": "17179869184", "gpu.intel.com/product": "Flex_170"},
            Accelerators("intel", 1, 16 * GIB, "Flex_170", "gpu.intel.com/xe"),
        ),
    ],
)  # fmt: skip
def test_accelerators_are_read_from_labels(
    resource: str, count: str, labels: dict[str, str], expected: Accelerators
) -> None:
    assert from_kubernetes(node(labels, **{resource: count})).accelerators == (expected,)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("text", "no nodes in it"),
        ([{"cpu": 1}], "node 1 of the list has no name"),
        ([{"name": "a", "memory": "8GB"}], "node a: memory: '8GB' is no quantity"),
        ([{"name": "a", "gpu": 1}], "node a: gpu is unknown"),
        ([{"name": "a", "accelerator": {"vendor": "apple"}}], "accelerator.vendor is apple"),
        ({"kind": "PodList", "items": [{"kind": "Pod"}]}, "is no Node but Pod"),
    ],
)
def test_what_is_no_node_is_told(document: Any, words: str) -> None:
    with pytest.raises(NodesError, match=words):
        from_document(document)


def test_a_node_that_takes_no_pods_is_not_ready() -> None:
    cordoned = node() | {"spec": {"unschedulable": True}}
    assert not from_kubernetes(cordoned).ready and from_kubernetes(node()).ready


def test_what_pods_have_requested_is_taken_away() -> None:
    one = from_kubernetes(node({"nvidia.com/gpu.memory": "1024"}, **{"nvidia.com/gpu": "2"}))
    requests = {"requests": {"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}}
    running = {"spec": {"nodeName": "n", "containers": [{"resources": requests}]}, "status": {"phase": "Running"}}
    over = {"spec": {"nodeName": "n", "containers": [{"resources": requests}]}, "status": {"phase": "Succeeded"}}
    (left,) = free([one], [running, over, {"spec": {}}])
    assert (left.cpu, left.memory, left.accelerators[0].count) == (7.5, 30 * GIB, 1)


def gpu_node(count: int, gib: int, memory: int = 256) -> Node:
    return Node("n", 32, memory * GIB, (Accelerators("nvidia", count, gib * GIB, "H100"),))


LLAMA = hf_model.from_config(families.LLAMA31_8B, quantisation="Q8_0")
GPT_OSS = hf_model.from_config(families.GPT_OSS_120B)
ASK = Ask(ModelUse(8192, 1))


def test_as_few_gpus_as_will_do() -> None:
    assert fit.fit(LLAMA, gpu_node(4, 24), ASK).place == fit.Placement(1)
    place = fit.fit(LLAMA, gpu_node(4, 8), ASK).place
    assert place is not None and (place.gpus, place.gpu_layers, place.cpu_experts) == (2, None, 0)


def test_experts_go_to_the_cpu_before_layers_do() -> None:
    place = fit.fit(GPT_OSS, gpu_node(1, 24), ASK).place
    assert place is not None and place.gpu_layers is None and 0 < place.cpu_experts < 36


def test_a_dense_model_goes_in_parts_and_a_small_gpu_is_left_alone() -> None:
    place = fit.fit(LLAMA, gpu_node(1, 6), ASK).place
    assert place is not None and place.gpus == 1 and place.gpu_layers is not None and 8 < place.gpu_layers < 32
    assert fit.fit(LLAMA, gpu_node(1, 2), ASK).place == fit.Placement()


def test_no_fit_says_how_much_is_short() -> None:
    found = fit.fit(LLAMA, Node("n", 4, 8 * GIB), ASK)
    assert not found.fits and found.where == "memory" and 0 < found.short < 3 * GIB
    assert any(remedy.startswith("Q6_K") for remedy in found.remedies)


def test_the_longest_context_is_the_longest_that_fits() -> None:
    place = Node("n", 8, 16 * GIB)
    found = fit.fit(LLAMA, place, ASK)
    longer = fit.fit(LLAMA, place, Ask(ModelUse(found.most_tokens + 1024, 1)))
    assert fit.fit(LLAMA, place, Ask(ModelUse(found.most_tokens, 1))).fits and not longer.fits


def test_tensor_parallelism_divides_heads() -> None:
    assert "do not divide 32 attention heads: use 1, 2, 4, 8, 16" in mismatch.tensor_problem(LLAMA, 3)
    assert not mismatch.tensor_problem(LLAMA, 4)
    place = fit.fit(
        hf_model.from_config(families.LLAMA31_8B), gpu_node(3, 12), Ask(ModelUse(8192, 4), pooled=True)
    ).place
    assert place is not None and place.gpus == 2


@pytest.mark.parametrize(("tokens", "band"), [(0.2, "<1"), (1, "1-5"), (7, "5-15"), (49.9, "15-50"), (500, ">150")])
def test_bands_of_speed(tokens: float, band: str) -> None:
    assert speed.band(tokens) == band


def test_speed_follows_what_a_token_reads() -> None:
    h100, core = speed.device_bandwidth("nvidia", "NVIDIA-H100-80GB-HBM3"), speed.host_bandwidth(8)
    assert h100 == 3350 * 10**9 and speed.device_bandwidth("nvidia", "NVIDIA H100 PCIe") == 2000 * 10**9
    assert 50 < speed.tokens_per_second(16 * 10**9, h100, 0, core) < 150
    assert 1 < speed.tokens_per_second(0, h100, 16 * 10**9, core) < 5
