"""The preset's model follows from what nodes have left, and what fits nowhere is told with what would."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from genset.planning.cluster import requested
from genset.preset import resources, told
from genset.preset.choice import Spot, choose, lacking, taints_of
from genset.sizing.nodes import GIB, MIB, Accelerators, Node
from tests.support.preset import catalogue, preset

T4 = Accelerators("nvidia", 1, 15360 * MIB, "Tesla-T4", "nvidia.com/gpu")
L4 = Accelerators("nvidia", 1, 23034 * MIB, "NVIDIA-L4", "nvidia.com/gpu")
H100 = Accelerators("nvidia", 8, 81559 * MIB, "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu")
MI300 = Accelerators("amd", 8, 192 * GIB, "AMD_Instinct_MI300X_OAM", "amd.com/gpu")
UNKNOWN = Accelerators("nvidia", 1, 0, "", "nvidia.com/gpu")


def spot(cpu: float, memory: float, *accelerators: Accelerators, taints: tuple[str, ...] = (), **more: Any) -> Spot:
    """A node with so many cores and GiB left."""
    return Spot(Node("one", cpu, int(memory * GIB), accelerators), frozenset(taints), **more)


CASES: dict[str, tuple[list[Spot], str | None]] = {
    "a small node": ([spot(4, 8)], "qwen2.5-1.5b"),
    "an office machine": ([spot(8, 16)], "phi-4-mini"),
    "a workshop's server": ([spot(8, 32)], "gpt-oss-20b"),
    "a server": ([spot(32, 128)], "qwen3.5-35b-a3b"),
    "a large server": ([spot(64, 256)], "gpt-oss-120b"),
    "a small GPU": ([spot(8, 32, T4)], "gpt-oss-20b"),
    "a GPU of 24 GB": ([spot(16, 64, L4)], "qwen3.5-35b-a3b"),
    "a large GPU": ([spot(96, 1000, H100)], "gpt-oss-120b"),
    "AMD": ([spot(96, 1000, MI300)], "gpt-oss-120b"),
    "a GPU under its own taint": ([spot(8, 32, T4, taints=("nvidia.com/gpu",))], "gpt-oss-20b"),
    "the best of several nodes": ([spot(4, 8), spot(8, 32), spot(8, 16)], "gpt-oss-20b"),
    "a GPU whose memory nobody tells: cores": ([spot(8, 16, UNKNOWN)], "phi-4-mini"),
    "much memory, few cores: what is fast enough": ([spot(4, 256)], "qwen2.5-1.5b"),
    "memory to the byte": ([spot(8, 10)], "phi-4-mini"),
    "a byte less": ([Spot(Node("one", 8, 10 * GIB - 1))], "qwen2.5-1.5b"),
    "too small": ([spot(2, 2)], None),
    "too few cores": ([spot(1, 64)], None),
    "not ready": ([Spot(Node("one", 8, 32 * GIB, ready=False))], None),
    "a control plane": ([spot(8, 32, taints=("node-role.kubernetes.io/control-plane",))], None),
    "another's taint on a GPU": ([spot(8, 32, T4, taints=("team-a",))], None),
    "Windows": ([spot(8, 32, system="windows")], None),
    "no node": ([], None),
}


@pytest.mark.parametrize(("spots", "name"), CASES.values(), ids=CASES)
def test_what_is_chosen(spots: list[Spot], name: str | None) -> None:
    found = choose(preset(), spots, ())
    assert (found.entry.name if found else None) == name
    if found is None:
        assert lacking(preset(), spots, ())


def test_a_model_that_is_small_enough_stands_on_part_of_a_core() -> None:
    """A node of two cores has one and a half left, and a core of it is the routers'."""
    tiny = {**catalogue()["models"][-1], "readPerToken": "1M"}
    found = choose(preset(catalogue=[tiny], share=100), [spot(1.6, 8)], ())
    assert found is not None and found.cores == 0.5
    assert resources.model_deployment(preset(), found)["spec"]["resources"]["cpu"] == "0.5"
    assert choose(preset(catalogue=[tiny], share=100), [spot(1.2, 8)], ()) is None, "the routers' core is not shared"


def test_accelerators_are_taken_only_if_they_may_be_and_are_free() -> None:
    node = [spot(8, 32, H100)]
    found = choose(preset(), node, ())
    assert found and found.accelerators == H100
    found = choose(preset(accelerators=False), node, ())
    assert found and (found.entry.name, found.accelerators) == ("gpt-oss-20b", None)
    taken = Accelerators("nvidia", 0, H100.memory, H100.product, H100.resource)
    found = choose(preset(), [spot(8, 32, taken)], ())
    assert found and found.accelerators is None


def test_the_smallest_accelerator_that_will_do_is_taken() -> None:
    found = choose(
        preset(catalogue=catalogue()["models"][2:]), [spot(96, 1000, H100), spot(8, 32, L4), spot(8, 32, T4)], ()
    )
    assert found and found.accelerators == T4


def test_routers_keep_their_room_whatever_the_share() -> None:
    """Two routers ask for half a core and 256 MiB each: a node whose model had all would have no policy that answers."""
    found = choose(preset(share=100), [spot(4, 8)], ())
    assert found and (found.entry.name, found.cores) == ("phi-4-mini", 3)
    assert choose(preset(share=100), [spot(8, 2)], ()) is None, "1.75 GiB for the model, and no half for routers"


def test_licences_that_are_not_allowed_are_passed_over() -> None:
    found = choose(preset(), [spot(8, 32)], ("mit",))
    assert found and found.entry.name == "phi-4-mini"
    assert choose(preset(), [spot(8, 32)], ("gpl-3.0",)) is None
    assert "licence that allowedLicences names (gpl-3.0)" in lacking(preset(), [spot(8, 32)], ("gpl-3.0",))


@pytest.mark.parametrize(("cpu", "memory"), [(2, 2), (1, 64), (1, 1), (3, 3), (2, 64)])
def test_what_would_do_does(cpu: int, memory: int) -> None:
    """The advice is taken by its word: a node of that size, or that share, has a model chosen."""
    words = lacking(preset(), [spot(cpu, memory)], ())
    if "continuity.share" in words.rpartition(":")[2]:
        share = int(words.rpartition("continuity.share ")[2].split()[0])
        assert choose(preset(share=share), [spot(cpu, memory)], ()) is not None, words
        return
    size, cores = words.rpartition("a node with ")[2].split(" GiB and ")
    assert choose(preset(), [spot(int(cores.split()[0]), float(size) + 0.06)], ()) is not None, words


def test_a_cold_one_rests_behind_a_cloud_that_is_asked_first() -> None:
    cold = preset(standby="Cold")
    found = choose(cold, [spot(8, 16)], ())
    assert found is not None
    made, policy = resources.model_deployment(cold, found), resources.route_policy(cold)
    assert made["spec"]["autoscaling"] == {"min": 0, "max": 1, "idleSeconds": 900}
    (route,) = policy["spec"]["routes"]
    assert [tier["backends"][0]["name"] for tier in route["tiers"]] == ["cloud", "house"]
    assert route["coldStart"]["mode"] == "Hold"
    warm = preset()
    assert "autoscaling" not in resources.model_deployment(warm, found)["spec"]
    assert "coldStart" not in resources.route_policy(warm)["spec"]["routes"][0]


def test_an_accelerator_as_large_as_the_one_that_was_found_is_asked_for() -> None:
    asked = {}
    for accelerators in (H100, MI300, Accelerators("nvidia", 2, 80 * GIB, "", "nvidia.com/mig-7g.80gb")):
        found = choose(preset(), [spot(96, 1000, accelerators)], ())
        assert found is not None
        asked[accelerators.resource] = resources.model_deployment(preset(), found)["spec"]["resources"]["accelerator"]
    assert asked == {
        "nvidia.com/gpu": {"vendor": "nvidia", "count": 1, "memory": "61Gi"},
        "amd.com/gpu": {"vendor": "amd", "count": 1, "products": ["AMD_Instinct_MI300X_OAM"]},
        "nvidia.com/mig-7g.80gb": {"vendor": "nvidia", "count": 1, "resource": "nvidia.com/mig-7g.80gb"},
    }


def test_what_is_there_is_told_with_what_the_values_say_by_now() -> None:
    found = choose(preset(), [spot(8, 16)], ())
    assert found is not None
    made, policy = resources.model_deployment(preset(), found), resources.route_policy(preset())
    assert told.standing(preset(), made, policy).count("\n") == 0
    other = preset(
        standby="Cold", cloud={"provider": "mistral", "model": "m", "credentialsSecretRef": {"name": "a", "key": "b"}},
        catalogue=catalogue()["models"][:2],
    )  # fmt: skip
    words = told.standing(other, made, policy)
    assert "mistral m" in words and "standby Cold" in words and "not in the catalogue" in words
    assert "5.0 GiB of memory and 4 cores all the time" in told.chosen(preset(), found)
    assert "while it is awake, and 4Gi of disk at rest" in told.chosen(other, found)


def test_taints_that_keep_pods_away() -> None:
    taints = [
        {"key": "a", "effect": "NoSchedule"},
        {"key": "b", "effect": "PreferNoSchedule"},
        {"key": "c", "effect": "NoExecute"},
    ]
    assert taints_of({"spec": {"taints": taints}}) == {"a", "c"}
    assert taints_of({}) == frozenset()


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


SIDECAR = {"restartPolicy": "Always"}
PODS: dict[str, tuple[dict[str, Any], str]] = {
    "containers run together": ({"containers": [container("1"), container("500m")]}, "1.5"),
    "the largest init container counts": (
        {"containers": [container("1")], "initContainers": [container("3"), container("2")]}, "3",
    ),
    "sidecars run on": ({"containers": [container("1")], "initContainers": [container("1", **SIDECAR)]}, "2"),
    "beside those that come later": (
        {"containers": [container("1")], "initContainers": [container("1", **SIDECAR), container("3")]}, "4",
    ),
    "not beside those before": (
        {"containers": [container("1")], "initContainers": [container("3"), container("1", **SIDECAR)]}, "3",
    ),
    "overhead of the runtime": ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, "1.25"),
    "the pod as a whole": ({"containers": [container("1")], "resources": {"requests": {"cpu": "2"}}}, "2"),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "cores"), PODS.values(), ids=PODS)
def test_what_a_node_reckons_for_a_pod(spec: dict[str, Any], cores: str) -> None:
    assert requested(spec) == {"cpu": Decimal(cores)}
