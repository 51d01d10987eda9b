"""The choice is the best model of the catalogue that a node has room for, fast enough to be read along with.

An accelerator that no pod has asked for comes first, because it reads prompts a hundred times faster than cores do. Else cores
answer. The model may ask for a share of what pods have left of a node: a stand-in for bad days must not crowd out the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genset.api.accelerator import RESOURCES
from genset.api.quantity import whole
from genset.preset.settings import CatalogueEntry, Preset
from genset.sizing import speed
from genset.sizing.nodes import GIB, Accelerators, Node

LEAST_TOKENS = 5.0  # a second, as people read
MOST_CORES = 16  # more cores read no faster than the memory does
CORES_WITH_ACCELERATOR = 2
ROUTERS_CORES, ROUTERS_MEMORY = 1.0, GIB // 2  # are left for the preset's routers, whatever share the model may have
_KEEPS_AWAY = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Spot:
    """A spot is a node with what its pods have left, and the taints that keep pods away from it."""

    node: Node
    taints: frozenset[str] = frozenset()
    system: str = "linux"

    @property
    def is_open(self) -> bool:
        """Says whether a pod without accelerators may run there."""
        return self.node.ready and not self.taints and self.system == "linux"

    def opens_to(self, accelerators: Accelerators) -> bool:
        """Says whether a pod that asks for such an accelerator may run there: it tolerates that one's own taint."""
        own = {accelerators.resource, RESOURCES.get(accelerators.vendor, "")}
        return self.node.ready and self.taints <= own and self.system == "linux"


@dataclass(frozen=True)
class Choice:
    """A choice is a model of the catalogue and the node that it was chosen for. `memory`: bytes, of the node."""

    entry: CatalogueEntry
    spot: Spot
    cores: float
    memory: int
    tokens_per_second: float
    accelerators: Accelerators | None = None


def taints_of(item: Mapping[str, Any]) -> frozenset[str]:
    """Returns the keys of a Node's taints that keep pods away."""
    taints = (item.get("spec") or {}).get("taints") or ()
    return frozenset(str(one.get("key")) for one in taints if one.get("effect") in _KEEPS_AWAY)


def choose(preset: Preset, spots: Sequence[Spot], licences: Collection[str]) -> Choice | None:
    """Returns what to make; None if nothing fits. `licences`: those that models may have; none: all."""
    allowed = [entry for entry in preset.catalogue if not licences or entry.licence in licences]
    if preset.accelerators and (found := _first(allowed, lambda entry: _on_accelerators(entry, preset, spots))):
        return found
    return _first(allowed, lambda entry: filter(_is_read_along, _on_cores(entry, preset, spots)))


def _is_read_along(choice: Choice) -> bool:
    return choice.tokens_per_second >= LEAST_TOKENS


def _first(entries: Iterable[CatalogueEntry], ways: Callable[[CatalogueEntry], Iterable[Choice]]) -> Choice | None:
    """Returns the best way of the first entry that has one."""
    for entry in entries:
        if found := list(ways(entry)):
            return min(found, key=_cost)
    return None


def _cost(choice: Choice) -> tuple[float, float, int, str]:
    """Orders ways to stand: the smallest accelerator that will do, then the fastest cores, then the most room."""
    device = choice.accelerators.memory if choice.accelerators is not None else 0
    return device, -choice.tokens_per_second, -choice.spot.node.memory, choice.spot.node.name


def _on_accelerators(entry: CatalogueEntry, preset: Preset, spots: Sequence[Spot]) -> Iterator[Choice]:
    needed, memory, read = whole(entry.memory.accelerator), whole(entry.memory.host), whole(entry.read_per_token)
    for spot in spots:
        for one in spot.node.accelerators:
            cores = min(_cores(preset, spot), CORES_WITH_ACCELERATOR)
            room = _memory(preset, spot)
            if not (spot.opens_to(one) and one.count and one.memory >= needed and room >= memory and cores > 0):
                continue
            rate = speed.device_bandwidth(one.vendor, one.product)
            yield Choice(entry, spot, cores, memory, speed.tokens_per_second(read, rate, 0, 1), one)


def _on_cores(entry: CatalogueEntry, preset: Preset, spots: Sequence[Spot]) -> Iterator[Choice]:
    needed, read = whole(entry.memory.cores), whole(entry.read_per_token)
    for spot in spots:
        cores = min(_cores(preset, spot), MOST_CORES)
        if spot.is_open and cores > 0 and _memory(preset, spot) >= needed:
            rate = speed.host_bandwidth(cores)
            yield Choice(entry, spot, cores, needed, speed.tokens_per_second(0, 1, read, rate))


def _cores(preset: Preset, spot: Spot) -> float:
    """Returns the cores that a model may ask for there: whole ones, or else quarters of one; 0 or less: none."""
    cores = min(spot.node.cpu * preset.share / 100, spot.node.cpu - ROUTERS_CORES)
    return int(cores) if cores >= 1 else int(cores * 4) / 4


def _memory(preset: Preset, spot: Spot) -> int:
    return min(spot.node.memory * preset.share // 100, spot.node.memory - ROUTERS_MEMORY)


def lacking(preset: Preset, spots: Sequence[Spot], licences: Collection[str]) -> str:
    """Says, if nothing fits, what would: the least of the catalogue, and how far the nearest node is from it."""
    allowed = [entry for entry in preset.catalogue if not licences or entry.licence in licences]
    if not allowed:
        return f"No model of the catalogue has a licence that allowedLicences names ({', '.join(sorted(licences))})"
    least = min(allowed, key=lambda entry: whole(entry.memory.cores))
    needed, cores = whole(least.memory.cores), _cores_for(least)
    words = f"No node has room for a model: the least, {least.name}, wants {_gib(needed)} of memory and {_count(cores)}"
    words += f", which may be {preset.share} % of what a node's pods have left (continuity.share)"
    near = [spot.node for spot in spots if spot.is_open]
    if not near:
        return f"{words}; no node is ready, runs Linux, and has no taints"
    node = max(near, key=lambda one: (min(one.memory, needed), one.cpu))
    have = f"{words}. The nearest, {node.name}, has {_gib(node.memory)} and {_count(int(node.cpu))} left"
    if node.memory - ROUTERS_MEMORY >= needed and node.cpu - ROUTERS_CORES >= cores:
        least_share = max(-(-needed * 100 // node.memory), -(-cores * 100 // int(node.cpu)))
        return f"{have}: continuity.share {least_share} would do"
    return f"{have}: a node with {_gib(needed * 100 // preset.share)} and {_count(-(-cores * 100 // preset.share))} left would do"


def _cores_for(entry: CatalogueEntry) -> int:
    """Returns how many cores make an entry fast enough."""
    read = whole(entry.read_per_token)
    speeds = (speed.tokens_per_second(0, 1, read, speed.host_bandwidth(count)) for count in range(1, MOST_CORES))
    return next((count for count, rate in enumerate(speeds, 1) if rate >= LEAST_TOKENS), MOST_CORES)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _count(cores: int) -> str:
    return "1 core" if cores == 1 else f"{cores} cores"
