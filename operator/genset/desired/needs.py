"""What a replica needs is reckoned from the model's files, and decides its memory if the resource says none.

The model is known once its files are there: from the pods' own words, or from status.size as it was told last. Until then a
pod gets `DEFAULT_MEMORY` and what it may keep of prompts. A size that became known makes no pod new that serves (`desired.kept`).
"""

from __future__ import annotations

from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.quantity import whole
from genset.desired.model_use import companion_bytes, is_pooled, kept_prompts, placement_of, use_of
from genset.engines import managed_engine_of
from genset.sizing import memory, vllm
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts


def of_server(resource: ModelDeployment, model: ModelFacts, use: ModelUse | None = None) -> memory.Memory:
    """Returns the memory of one llama-server; `use`: another one than the resource's."""
    projector, adapters = companion_bytes(resource)
    return memory.need(
        model, use or use_of(resource), placement_of(resource), prompts=kept_prompts(resource), projector=projector,
        adapters=adapters,
    )  # fmt: skip


def of_pool(resource: ModelDeployment, model: ModelFacts) -> tuple[int, int, int]:
    """Returns the bytes of all contexts at full length, of the host, and of each GPU if no more is taken than needed."""
    accelerator, context = resource.spec.resources.accelerator, resource.spec.context
    gpus = accelerator.count if accelerator is not None else 1
    small = use_of(resource).eight_bits
    each = vllm.request_bytes(model, context.tokens, gpus, eight_bits=small) * context.parallel
    total = vllm.request_bytes(model, context.tokens, eight_bits=small) * context.parallel
    if accelerator is None:
        return total, model.weights + total + vllm.CPU_PROGRAM, 0
    return (
        total,
        vllm.host_bytes(model),
        -(-model.weights // gpus) + each + vllm.batch_bytes(model, context.tokens, gpus),
    )


def is_derived(resource: ModelDeployment) -> bool:
    """Says whether the memory of its pods follows from the model: the resource says none. A server that keeps contexts in a
    pool on cores is told its share of the memory by its arguments, so it is not."""
    spec = resource.spec
    told = spec.resources.memory is not None or managed_engine_of(resource) is None
    return not told and not (is_pooled(resource) and spec.resources.accelerator is None)


def memory_text(resource: ModelDeployment, model: ModelFacts | None = None) -> str:
    """Returns the memory of one pod. `model`: told by a pod, if the context or another field has just changed."""
    spec = resource.spec
    if spec.resources.memory is not None:
        return str(spec.resources.memory)
    if not is_derived(resource):
        return DEFAULT_MEMORY
    told = resource.status.size if resource.status is not None else None
    needed = told.memory_bytes if told is not None else 0
    if model is not None:
        needed = of_pool(resource, model)[1] if is_pooled(resource) else of_server(resource, model).host.total
    if not needed:
        return memory.quantity_text(whole(DEFAULT_MEMORY) + kept_prompts(resource))
    return memory.quantity_text(needed * memory.HEADROOM)
