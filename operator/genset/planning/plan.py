"""A plan is a model, what is asked of it, and how it stands on each node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genset.planning.engines import engine_for, is_known
from genset.planning.found import Found
from genset.planning.resource import resource
from genset.sizing import fit as fits
from genset.sizing import memory
from genset.sizing.classes import size_class, speed_class
from genset.sizing.fit import Ask, Fit
from genset.sizing.memory import Memory, Placement
from genset.sizing.nodes import Node

#: What a plan is made for if no node is given: common sizes, which are told as such.
COMMON = (
    Node("8 cores, 16Gi", 8, 16 * memory.GIB),
    Node("16 cores, 64Gi", 16, 64 * memory.GIB),
    Node("64 cores, 512Gi", 64, 512 * memory.GIB),
)


@dataclass(frozen=True)
class ModelPlan:
    """A plan for one model. `resource` is None if it fits nowhere."""

    found: Found
    ask: Ask
    name: str
    need: Memory  # on cores alone
    fits: tuple[Fit, ...]
    resource: dict[str, Any] | None
    stated: str = ""  # resources.memory of the ModelDeployment that was read, if any

    @property
    def best(self) -> Fit | None:
        """Returns the fit that the resource is for."""
        return best(self.fits)


def make(found: Found, ask: Ask, nodes: Sequence[Node], name: str, stated: str = "") -> ModelPlan:
    """Returns the plan of a model over some nodes; each kind of node is told once."""
    every = tuple(fits.fit(found.model, node, ask) for node in nodes)
    chosen = best(every)
    return ModelPlan(
        found,
        ask,
        name,
        on_cores(found, ask),
        every,
        resource(found, ask, chosen, name) if chosen is not None and is_known(engine_for(ask.pooled)) else None,
        stated,
    )


def best(every: Sequence[Fit]) -> Fit | None:
    """Returns the fit that leaves the least unused: on cores if those are fast enough to read along, else on GPUs."""
    fitting = [one for one in every if one.fits and one.node.ready]
    if not fitting:
        return None
    return min(fitting, key=lambda one: (_slow(one), one.place.gpus if one.place else 0, one.node.memory))


def _slow(one: Fit) -> bool:
    return one.band in ("<1", "1-5")


def as_dict(plan: ModelPlan) -> dict[str, Any]:
    """Returns a plan as values for programs: bytes are numbers, names are those of the table."""
    model, use = plan.found.model, plan.ask.use
    host = plan.need.host
    return {
        "model": {
            "name": model.name,
            "where": plan.found.shown,
            "architecture": model.architecture,
            "parameters": {"total": model.parameters.total, "active": model.parameters.active},
            "quantisation": model.quantisation,
            "bitsPerWeight": round(model.bits, 2),
            "fileBytes": model.file_bytes,
            "context": model.context,
            "licence": model.licence,
            "task": str(model.task),
            "sizeClass": str(size_class(model.parameters.total)),
            "speedClass": str(speed_class(model.parameters.active)),
            "projector": plan.found.projector,
            "notes": list(model.notes),
        },
        "asked": {
            "engine": engine_for(plan.ask.pooled),
            "tokens": use.tokens,
            "parallel": use.slots,
            "cacheTypes": [use.key_type, use.value_type],
        },
        "memory": {
            "weights": host.weights,
            "cache": {
                "full": plan.need.cache.full,
                "windowed": plan.need.cache.windowed,
                "state": plan.need.cache.state,
            },
            "compute": host.compute,
            "projector": host.projector,
            "adapters": host.adapters,
            "prompts": host.prompts,
            "program": host.program,
            "total": host.total,
        },
        "nodes": [_fit_dict(one) for one in plan.fits],
        "resource": plan.resource,
    }


def _fit_dict(one: Fit) -> dict[str, Any]:
    place = one.place
    return {
        "node": one.node.name,
        "fits": one.fits,
        "ready": one.node.ready,
        "gpus": place.gpus if place else 0,
        "gpuLayers": place.gpu_layers if place else None,
        "cpuExperts": place.cpu_experts if place else 0,
        "hostBytes": one.host,
        "deviceBytes": one.device,
        "shortBytes": one.short,
        "shortOf": one.where,
        "tokensPerSecond": one.band,
        "mostTokens": one.most_tokens,
        "requestsAtOnce": round(one.at_once, 1),
        "wouldFit": list(one.remedies),
    }


def on_cores(found: Found, ask: Ask) -> Memory:
    """Returns what a llama-server without GPUs needs."""
    return memory.need(
        found.model, ask.use, Placement(), prompts=ask.prompts, projector=ask.projector, adapters=ask.adapters
    )


def engine_problem(found: Found, ask: Ask) -> str:
    """Says why an engine cannot read a model's files; empty if it can."""
    if ask.pooled and not found.pooled:
        return (
            "its engine serves whole repositories, not GGUF files: name the repository that holds the safetensors files"
        )
    if found.pooled and not ask.pooled:
        return "its engine serves GGUF files, which are not there: name a repository that has them, often one in -GGUF"
    return ""
