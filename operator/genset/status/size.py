"""status.size says what a model is and needs, from what a puller told of its files when they were there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from genset import names
from genset.api.modeldeployment import ModelDeployment, Reason
from genset.api.modeldeployment_status import SizeStatus
from genset.api.quantity import whole
from genset.contracts.puller import LastWords
from genset.desired import needs
from genset.desired.model_use import is_pooled, use_of
from genset.engines import managed_engine_of
from genset.sizing import told
from genset.sizing.classes import size_class, speed_class
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import HEADROOM, quantity_text
from genset.sizing.model import ModelFacts
from genset.status.conditions import Verdict
from genset.status.observed import ModelDeploymentObserved, requested
from genset.status.pod import PodView

GIB, MIB = 2**30, 2**20
_LEAST_TOKENS = 1024


def facts(observed: ModelDeploymentObserved) -> ModelFacts | None:
    """Returns the model as the newest pod that has its files tells of it; None if none has told yet."""
    return facts_in((*observed.pods, *(observed.prefetch.pods if observed.prefetch is not None else ())))


def facts_in(every: Iterable[PodView]) -> ModelFacts | None:
    """Returns the model as the newest of some pods tells of it; None if none does."""
    for pod in _newest_first(every):
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
    if is_pooled(resource):
        cache, host, device = needs.of_pool(resource, model)
    else:
        needed = needs.of_server(resource, model)
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


def is_outdated(resource: ModelDeployment) -> bool:
    """Says whether status.size speaks of another context than the spec's, or another server: the spec has changed."""
    told = resource.status
    return told is not None and told.size is not None and told.observed_generation != resource.metadata.generation


def short(resource: ModelDeployment, model: ModelFacts | None, observed: ModelDeploymentObserved) -> Verdict | None:
    """Returns the warning that a model on cores needs more memory than it may have, with what would do.

    Weights are read from the page cache, so such a model may run, but slowly; it is no error.
    """
    if model is None or managed_engine_of(resource) is None or is_pooled(resource):
        return None
    if resource.spec.resources.accelerator is not None:
        return None
    use = use_of(resource)
    said, needed = resource.spec.resources.memory, needs.of_server(resource, model).host
    given = whole(said) if said is not None else requested(observed.deployment).get("memory", 0)
    if not 0 < given < needed.total:
        return None
    parts = f"{text(needed.weights)} of weights, {text(needed.cache)} for {use.slots} contexts of {use.tokens} tokens"
    needing = f"the model needs about {text(needed.total)} ({parts})"
    if said is None:
        words = (
            f"Pods have {text(given)} of memory, from before the model was known, and {needing}: the next roll-out gives them "
            f"{quantity_text(needed.total * HEADROOM)}; the annotation {names.ANNOTATION_ROLL} asks for one"
        )
        return Verdict("True", Reason.MEMORY_SHORT, words)
    remedies = " or ".join(_remedies(resource, model, use, given, needed.total))
    return Verdict("True", Reason.MEMORY_SHORT, f"spec.resources.memory is {said}, and {needing}: {remedies}")


def _remedies(resource: ModelDeployment, model: ModelFacts, use: ModelUse, given: int, needed: int) -> Iterable[str]:
    def fits(tokens: int, slots: int) -> bool:
        return needs.of_server(resource, model, replace(use, tokens=tokens, slots=slots)).host.total <= given

    yield f"raise it to {-(-needed // (256 * MIB)) * 256}Mi"
    slots = next((n for n in range(use.slots - 1, 0, -1) if fits(use.tokens, n)), 0)
    if slots:
        yield f"lower spec.context.parallel to {slots}"
    tokens = use.tokens // 2
    while tokens >= _LEAST_TOKENS and not fits(tokens, use.slots):
        tokens //= 2
    if tokens >= _LEAST_TOKENS:
        yield f"lower spec.context.tokens to {tokens}"


def _newest_first(pods: Iterable[PodView]) -> list[PodView]:
    """Sorts by when a node was found, which is within a second of when the pod was made; leaving ones come last."""

    def age(pod: PodView) -> tuple[bool, str, str]:
        return not pod.leaving, str(pod.conditions.get("PodScheduled", {}).get("lastTransitionTime") or ""), pod.name

    return sorted(pods, key=age, reverse=True)


def text(size: float) -> str:
    """Writes bytes as memory is sold: 1.5 GiB, 320 MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
