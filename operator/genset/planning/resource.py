"""The resource of a plan is a ModelDeployment, ready to be applied, that stands where the plan says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genset.api.accelerator import RESOURCES
from genset.api.engines import block_name
from genset.planning.engines import engine_for
from genset.planning.found import Found
from genset.sizing.fit import Ask, Fit
from genset.sizing.memory import GIB, HEADROOM, quantity_text
from genset.sizing.model import Task

_CORES_WITH_GPU = 4
_MOST_CORES = 16


def name_of(text: str) -> str:
    """Returns a name that Kubernetes takes, from a repository's or a file's."""
    last = text.rstrip("/").rpartition("/")[2].lower().removesuffix(".gguf").removesuffix("-gguf")
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-")
    return (name if name[:1].isalpha() else f"model-{name}")[:52].rstrip("-")


def resource(found: Found, ask: Ask, fit: Fit, name: str) -> dict[str, Any]:
    """Returns the ModelDeployment that stands as a fit says."""
    assert fit.place is not None
    spec: dict[str, Any] = {"engine": engine_for(ask.pooled)}
    if found.model.task in (Task.EMBEDDINGS, Task.RERANK):
        spec["task"] = str(found.model.task)
    spec["source"] = dict(found.source)
    if "huggingFace" in found.source:
        spec["cache"] = {"size": f"{-(-int(max(found.model.file_bytes, GIB) * 1.1) // GIB)}Gi"}
    spec["context"] = {"tokens": ask.use.tokens, "parallel": ask.use.slots}
    spec["resources"] = _resources(fit)
    if settings := _settings(ask, fit):
        spec[block_name(engine_for(ask.pooled))] = settings
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name_of(name)},
        "spec": spec,
    }


def _resources(fit: Fit) -> dict[str, Any]:
    cores = int(fit.node.cpu) - 1 if fit.node.cpu >= 2 else 1
    on_gpu = fit.place is not None and fit.place.gpus > 0
    cores = max(1, min(cores, _CORES_WITH_GPU if on_gpu else _MOST_CORES))
    found: dict[str, Any] = {"cpu": str(cores), "memory": quantity_text(fit.host * HEADROOM)}
    if on_gpu and fit.place is not None and fit.accelerators is not None:
        found["accelerator"] = {"vendor": fit.accelerators.vendor, "count": fit.place.gpus}
        if fit.accelerators.resource not in ("", RESOURCES.get(fit.accelerators.vendor)):
            found["accelerator"]["resource"] = fit.accelerators.resource
    return found


def _settings(ask: Ask, fit: Fit) -> Mapping[str, Any]:
    """Returns the settings that the fit needs of an engine for GGUF files; of others none."""
    if ask.pooled or fit.place is None:
        return {}
    extra: list[str] = []
    if fit.place.gpu_layers is not None:
        extra += ["-ngl", str(fit.place.gpu_layers)]
    if fit.place.cpu_experts:
        extra += ["--n-cpu-moe", str(fit.place.cpu_experts)]
    if ask.use.key_type != "f16":
        extra += ["--cache-type-k", ask.use.key_type]
    if ask.use.value_type != "f16":
        extra += ["--cache-type-v", ask.use.value_type, "--flash-attn", "on"]
    if ask.use.unified:
        extra.append("--kv-unified")
    if ask.use.full_windows:
        extra.append("--swa-full")
    settings: dict[str, Any] = {"extraArgs": extra} if extra else {}
    if ask.prompts:
        settings["cacheRAM"] = quantity_text(ask.prompts)
    return settings
