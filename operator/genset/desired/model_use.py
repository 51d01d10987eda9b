"""How a resource uses its model decides its memory: context, requests at once, and arguments of the server that change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from genset.api.engines.base import EngineSettings
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import whole
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import Placement
from genset.sizing.quantisation import CACHE_TYPES

_WORDS = {"-ctk": "key_type", "--cache-type-k": "key_type", "-ctv": "value_type", "--cache-type-v": "value_type"}
_BATCH = ("-ub", "--ubatch-size")
_SWITCHES = {"-kvu": "unified", "--kv-unified": "unified", "--swa-full": "full_windows"}
_GPU_LAYERS = ("-ngl", "--gpu-layers", "--n-gpu-layers")
_CPU_EXPERTS = ("-ncmoe", "--n-cpu-moe")
_ALL_CPU_EXPERTS = ("-cmoe", "--cpu-moe")
_ALL_LAYERS = 2**16
_MOST_BATCH = 2**16  # tokens


def use_of(resource: ModelDeployment) -> ModelUse:
    """Returns how the model is used."""
    context, given = resource.spec.context, _arguments(resource.spec.engine_settings)
    changed: dict[str, Any] = {name: True for flag, name in _SWITCHES.items() if flag in given}
    for position, flag in enumerate(given[:-1]):
        value = given[position + 1]
        if flag in _WORDS and value in CACHE_TYPES:
            changed[_WORDS[flag]] = value
        elif flag in _BATCH and value.isdecimal() and 0 < int(value) <= _MOST_BATCH:
            changed["ubatch"] = int(value)
    return replace(ModelUse(context.tokens, context.parallel), **changed)


def placement_of(resource: ModelDeployment) -> Placement:
    """Returns where the model stands: on how many accelerators, and what of it on cores."""
    accelerator, given = resource.spec.resources.accelerator, _arguments(resource.spec.engine_settings)
    if accelerator is None:
        return Placement()
    experts = _ALL_LAYERS if any(flag in given for flag in _ALL_CPU_EXPERTS) else _number(given, _CPU_EXPERTS) or 0
    return Placement(accelerator.count, _number(given, _GPU_LAYERS), experts)


def kept_prompts(resource: ModelDeployment) -> int:
    """Returns the bytes of host memory that are for finished prompts."""
    return whole(str(getattr(resource.spec.engine_settings, "cache_ram", "0")))


def _number(given: Sequence[str], flags: Sequence[str]) -> int | None:
    """Returns the value of a flag; None if it is not said, or no number such as `all`."""
    for position, flag in enumerate(given[:-1]):
        if flag in flags and given[position + 1].isdecimal() and len(given[position + 1]) < 6:
            return int(given[position + 1])
    return None


def _arguments(settings: EngineSettings | None) -> list[str]:
    found = getattr(settings, "extra_args", None)
    return [str(one) for one in found] if isinstance(found, list) else []
