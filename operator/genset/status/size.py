"""status.size says what a model is and needs, from what a puller told of its files when they were there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from genset import names
from genset.api.engines.base import WeightsForm
from genset.api.modeldeployment import ModelDeployment, Reason, SizeStatus
from genset.api.quantity import whole
from genset.contracts.puller import LastWords
from genset.desired.model_use import kept_prompts, placement_of, use_of
from genset.engines import managed_engine_of
from genset.sizing import memory, told, vllm
from genset.sizing.classes import size_class, speed_class
from genset.sizing.fit import requantised
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts
from genset.sizing.quantisation import FILE_BITS, smaller
from genset.status.conditions import Verdict
from genset.status.observed import ModelDeploymentObserved
from genset.status.pod import PodView

GIB, MIB = 2**30, 2**20
_LEAST_TOKENS = 1024
_WORTH_IT = 0.8  # a smaller quantisation is named from this share of the bits on


def facts(observed: ModelDeploymentObserved) -> ModelFacts | None:
    """Returns the model as the newest pod that has its files tells of it; None if none has told yet."""
    for pod in _newest_first((*observed.pods, *observed.fetchers)):
        puller = pod.container(names.WEIGHTS_CONTAINER)
        document = LastWords.from_json(puller.last_message).model if puller is not None else {}
        if document and (model := told.read(document)) is not None:
            return model
    return None


def status(resource: ModelDeployment, model: ModelFacts | None, old: SizeStatus | None) -> SizeStatus | None:
    """Returns status.size. While no pod tells, what was known stays; a server elsewhere has none."""
    if managed_engine_of(resource) is None:
        return None
    if model is None:
        return old
    if _is_pooled(resource):
        cache, host, device = _pool(resource, model)
    else:
        needed = _need(resource, model, use_of(resource))
        cache, host, device = needed.cache.total, needed.host.total, needed.device.total
    return SizeStatus.model_validate(
        {
            "class": str(size_class(model.parameters.total)),
            "speed": str(speed_class(model.parameters.active)),
            "architecture": model.architecture,
            "parameters": model.parameters.total,
            "activeParameters": model.parameters.active,
            "quantisation": model.quantisation,
            "licence": model.licence,
            "contextTokens": model.context,
            "weightsBytes": model.weights,
            "cacheBytes": cache,
            "memoryBytes": host,
            "deviceBytes": device,
        }
    )


def short(resource: ModelDeployment, model: ModelFacts | None) -> Verdict | None:
    """Returns the warning that a model on cores needs more memory than it may have, with what would do.

    Weights are read from the page cache, so such a model may run, but slowly; it is no error.
    """
    if model is None or managed_engine_of(resource) is None or _is_pooled(resource):
        return None
    if resource.spec.resources.accelerator is not None:
        return None
    given, use = resource.spec.resources.memory, use_of(resource)
    needed = _need(resource, model, use).host
    if needed.total <= whole(given):
        return None
    parts = f"{_text(needed.weights)} of weights, {_text(needed.cache)} for {use.slots} contexts of {use.tokens} tokens"
    return Verdict(
        "True",
        Reason.MEMORY_SHORT,
        f"spec.resources.memory is {given}, and the model needs about {_text(needed.total)} ({parts}): "
        f"{' or '.join(_remedies(resource, model, use, whole(given), needed.total))}",
    )


def with_needs(resource: ModelDeployment, model: ModelFacts | None, verdict: Verdict | None) -> Verdict | None:
    """Returns the verdict that no node takes a pod, with what its model needs and what would need less."""
    if verdict is None or verdict.reason != Reason.UNSCHEDULABLE or model is None or _is_pooled(resource):
        return verdict
    use, on_gpus = use_of(resource), resource.spec.resources.accelerator is not None
    needed = _need(resource, model, use)
    share = needed.device if on_gpus else needed.host
    where = "on each accelerator" if on_gpus else "of memory"
    words = f"its model needs about {_text(share.total)} {where} ({_text(share.weights)} of weights)"
    less = [
        f"{_text((found.device if on_gpus else found.host).total)} with {change}"
        for change, found in _lesser(resource, model, use)
        if (found.device if on_gpus else found.host).total < share.total * 0.95
    ]
    return replace(verdict, message=f"{verdict.message}; {words}{': ' if less else ''}{', '.join(less)}")


def _lesser(resource: ModelDeployment, model: ModelFacts, use: ModelUse) -> Iterable[tuple[str, memory.Memory]]:
    """Yields changes of a spec that take less memory, and what is needed then."""
    if use.slots > 1:
        yield "spec.context.parallel 1", _need(resource, model, replace(use, slots=1))
    if use.tokens >= 2 * _LEAST_TOKENS:
        half = use.tokens // 2
        yield f"half of spec.context.tokens ({half})", _need(resource, model, replace(use, tokens=half))
    name = next((one for one in smaller("", model.bits) if FILE_BITS[one] < model.bits * _WORTH_IT), None)
    if name is not None:
        yield f"weights of {name}", _need(resource, requantised(model, name), use)


def _remedies(resource: ModelDeployment, model: ModelFacts, use: ModelUse, given: int, needed: int) -> Iterable[str]:
    yield f"raise it to {-(-needed // (256 * MIB)) * 256}Mi"
    slots = next((n for n in range(use.slots - 1, 0, -1) if _fits(resource, model, use, given, slots=n)), 0)
    if slots:
        yield f"lower spec.context.parallel to {slots}"
    tokens = use.tokens // 2
    while tokens >= _LEAST_TOKENS and not _fits(resource, model, use, given, tokens=tokens):
        tokens //= 2
    if tokens >= _LEAST_TOKENS:
        yield f"lower spec.context.tokens to {tokens}"


def _fits(
    resource: ModelDeployment, model: ModelFacts, use: ModelUse, given: int, *, slots: int = 0, tokens: int = 0
) -> bool:
    less = replace(use, tokens=tokens or use.tokens, slots=slots or use.slots)
    return _need(resource, model, less).host.total <= given


def _need(resource: ModelDeployment, model: ModelFacts, use: ModelUse) -> memory.Memory:
    return memory.need(model, use, placement_of(resource), prompts=kept_prompts(resource))


def _is_pooled(resource: ModelDeployment) -> bool:
    """Says whether its engine serves whole repositories, and keeps contexts in a pool."""
    engine = managed_engine_of(resource)
    return engine is not None and engine.settings.weights is WeightsForm.FOLDER


def _pool(resource: ModelDeployment, model: ModelFacts) -> tuple[int, int, int]:
    """Returns the bytes of all contexts at full length, of the host, and of each GPU if no more is taken than needed."""
    accelerator, context = resource.spec.resources.accelerator, resource.spec.context
    gpus = accelerator.count if accelerator is not None else 1
    each = vllm.request_bytes(model, context.tokens, gpus) * context.parallel
    total = vllm.request_bytes(model, context.tokens) * context.parallel
    if accelerator is None:
        return total, model.weights + total + vllm.CPU_PROGRAM, 0
    return (
        total,
        vllm.host_bytes(model),
        -(-model.weights // gpus) + each + vllm.batch_bytes(model, context.tokens, gpus),
    )


def _newest_first(pods: Iterable[PodView]) -> list[PodView]:
    """Sorts by when a node was found, which is within a second of when the pod was made; leaving ones come last."""

    def age(pod: PodView) -> tuple[bool, str, str]:
        return not pod.leaving, str(pod.conditions.get("PodScheduled", {}).get("lastTransitionTime") or ""), pod.name

    return sorted(pods, key=age, reverse=True)


def _text(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
