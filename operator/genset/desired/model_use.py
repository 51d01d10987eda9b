"""How a resource uses its model decides its memory: context, requests at once, and arguments of the server that change it.

The arguments are those that the server really gets, by its engine: what a task or a setting adds counts as what a user adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from genset.api.adapters import PROJECTOR
from genset.api.engines import engines_that
from genset.api.engines.base import WeightsForm
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import whole
from genset.engines import managed_engine_of
from genset.sizing.kv_cache import UBATCH, ModelUse
from genset.sizing.memory import Placement
from genset.sizing.mismatch import Serving
from genset.sizing.model import Task
from genset.sizing.quantisation import CACHE_TYPES

_WORDS = {
    "-ctk": "key_type", "--cache-type-k": "key_type", "-ctv": "value_type", "--cache-type-v": "value_type",
    "-ctkd": "draft_key_type", "--cache-type-k-draft": "draft_key_type", "--spec-draft-type-k": "draft_key_type",
    "-ctvd": "draft_value_type", "--cache-type-v-draft": "draft_value_type", "--spec-draft-type-v": "draft_value_type",
}  # fmt: skip
_DRAFTS, _DRAFTED, _USUAL_DRAFTS = ("--spec-type",), ("--spec-draft-n-max",), 3
_BATCH, _LOGICAL_BATCH = ("-ub", "--ubatch-size"), ("-b", "--batch-size")
_POOL_TYPE, _EIGHT_BITS = "--kv-cache-dtype", ("fp8", "int8")  # vLLM's
_SWITCHES = {"-kvu": "unified", "--kv-unified": "unified", "--swa-full": "full_windows"}
_GPU_LAYERS = ("-ngl", "--gpu-layers", "--n-gpu-layers")
_CPU_EXPERTS = ("-ncmoe", "--n-cpu-moe")
_ALL_CPU_EXPERTS = ("-cmoe", "--cpu-moe")
#: Arguments by which servers are told that a model reaches further than its files say.
_STRETCHING = ("--hf-overrides", "--rope-scaling", "--rope-scale", "--rope-freq-scale", "--override-kv")
_POOLED = frozenset(engines_that(lambda settings: settings.weights is WeightsForm.FOLDER))
_ALL_LAYERS = 2**16
_MOST_BATCH = 2**20  # tokens
_MOST_DRAFTS = 2**10


def use_of(resource: ModelDeployment) -> ModelUse:
    """Returns how the model is used."""
    context, given = resource.spec.context, _arguments(resource)
    changed: dict[str, Any] = {name: True for flag, name in _SWITCHES.items() if flag in given}
    for position, flag in enumerate(given[:-1]):
        value = given[position + 1]
        if flag in _WORDS and value in CACHE_TYPES:
            changed[_WORDS[flag]] = value
    if any("draft-mtp" in value.split(",") for flag, value in pairwise(given) if flag in _DRAFTS):
        changed["drafts"] = min(_last(given, _DRAFTED) or _USUAL_DRAFTS, _MOST_DRAFTS)
    if (batch := _batch(given)) is not None:
        changed["ubatch"] = batch
    if is_pooled(resource):
        changed["eight_bits"] = _said(given, _POOL_TYPE).startswith(_EIGHT_BITS)
    return replace(ModelUse(context.tokens, context.parallel), **changed)


def _batch(given: Sequence[str]) -> int | None:
    """Returns how many tokens go through the model at once; None if nothing is said. The last word of each kind counts."""
    said = [_last(given, flags) for flags in (_BATCH, _LOGICAL_BATCH)]
    told = [min(value, _MOST_BATCH) for value in said if value]
    if not told:
        return None
    return min(*told, UBATCH) if said[0] is None else min(told)


def _last(given: Sequence[str], flags: Sequence[str]) -> int | None:
    values = [value for flag, value in pairwise(given) if flag in flags and value.isdecimal() and len(value) < 12]
    return int(values[-1]) if values else None


def _said(given: Sequence[str], wanted: str) -> str:
    """Returns the value of a flag of vLLM, which takes `--a-b v`, `--a_b v` and `--a-b=v`; "" if it is not said."""
    found = ""
    for position, argument in enumerate(given):
        flag, joined, value = argument.partition("=")
        if flag.replace("_", "-") == wanted:
            found = value if joined else "".join(given[position + 1 : position + 2])
    return found


def placement_of(resource: ModelDeployment) -> Placement:
    """Returns where the model stands: on how many accelerators, and what of it on cores."""
    accelerator, given = resource.spec.resources.accelerator, _arguments(resource)
    if accelerator is None:
        return Placement()
    experts = _ALL_LAYERS if any(flag in given for flag in _ALL_CPU_EXPERTS) else _number(given, _CPU_EXPERTS) or 0
    return Placement(accelerator.count * resource.spec.nodes, _number(given, _GPU_LAYERS), experts)


def serving_of(resource: ModelDeployment) -> Serving:
    """Returns how the model is to be served, as far as its files may forbid it."""
    spec = resource.spec
    accelerator, split, given = spec.resources.accelerator, spec.parallelism, _arguments(resource)
    gpus = accelerator.count if accelerator is not None else 1
    return Serving(
        use_of(resource),
        pooled=is_pooled(resource),
        tensor=split.tensor if split is not None else gpus,
        pipeline=split.pipeline if split is not None else 1,
        task=Task(str(spec.task)),
        stretched=any(flag.partition("=")[0] in _STRETCHING for flag in given),
    )


def is_pooled(resource: ModelDeployment) -> bool:
    """Says whether its engine serves whole repositories, and keeps contexts in a pool."""
    return resource.spec.engine in _POOLED


def companion_bytes(resource: ModelDeployment) -> tuple[int, int]:
    """Returns the bytes of the projector and of all adapters, as far as they have been downloaded."""
    told = resource.status.weights if resource.status is not None else None
    sizes = {part.name: part.total_bytes for part in (told.parts if told is not None else None) or ()}
    projector = sizes.get(PROJECTOR, 0) if resource.spec.projector is not None else 0
    return projector, sum(sizes.get(adapter.name, 0) for adapter in resource.spec.adapters)


def kept_prompts(resource: ModelDeployment) -> int:
    """Returns the bytes of host memory that are for finished prompts."""
    return whole(str(getattr(resource.spec.engine_settings, "cache_ram", "0")))


def _number(given: Sequence[str], flags: Sequence[str]) -> int | None:
    """Returns the value of a flag; None if it is not said, or no number such as `all`. The last word counts."""
    said = [value for flag, value in pairwise(given) if flag in flags]
    return int(said[-1]) if said and said[-1].isdecimal() and len(said[-1]) < 6 else None


def _arguments(resource: ModelDeployment) -> list[str]:
    engine = managed_engine_of(resource)
    return engine.memory_args(resource) if engine is not None else []
