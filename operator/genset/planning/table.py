"""The table of a plan is for people on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from genset.columns import aligned
from genset.planning.engines import engine_for
from genset.planning.plan import ModelPlan
from genset.sizing import kv_cache, vllm
from genset.sizing.classes import count_text, size_class, speed_class
from genset.sizing.fit import Fit
from genset.sizing.memory import GIB, MIB, quantity_text
from genset.sizing.model import Task

_HEADINGS = ("NODE", "FITS", "MEMORY", "GPU MEMORY", "TOKENS/S", "MOST CONTEXT")
_LABEL = 11  # columns of the labels
_MOST_OTHERS = 8


def size_text(size: float) -> str:
    """Writes bytes as memory is sold: 1.5 GiB, 320 MiB."""
    return f"{size / GIB:.1f} GiB" if size >= 0.95 * GIB else f"{size / MIB:.0f} MiB"


def render(plan: ModelPlan) -> str:
    """Returns the whole table without the resource."""
    return "\n".join([*_head(plan), "", *_nodes(plan), *_tail(plan)])


def _head(plan: ModelPlan) -> Iterator[str]:
    model, use = plan.found.model, plan.ask.use
    parameters = model.parameters
    active = f", {count_text(parameters.active)} active" if parameters.active < parameters.total else ""
    yield _line(
        "Model", f"{model.name or plan.name} ({model.architecture}), {count_text(parameters.total)} parameters{active}"
    )
    files = f" in {plan.found.files} files" if plan.found.files > 1 else ""
    size = f"{model.file_bytes / 10**9:.2f} GB" if model.file_bytes else f"about {model.weights / 10**9:.1f} GB"
    bits = f"{model.quantisation or 'unknown quantisation'}, {model.bits:.2f} bits per weight"
    yield _line("Weights", f"{bits}, {size}{files}; from {plan.found.shown}")
    context = f"{model.context:,} tokens" if model.context else "unknown"
    yield _line("Made for", f"{context} of context; {_task(model.task)}; licence {model.licence or 'not named'}")
    classes = f"{size_class(parameters.total)} by size, {speed_class(parameters.active)} by speed"
    yield _line("Class", classes)
    cache = "" if use.key_type == use.value_type == "f16" else f", cache {use.key_type}/{use.value_type}"
    yield _line("Asked", f"{use.tokens:,} tokens x {use.slots} at once on {engine_for(plan.ask.pooled)}{cache}")
    yield from _memory(plan)
    for note in model.notes:
        yield _line("Note", note)
    if model.context and use.tokens > model.context:
        yield _line("Note", f"{use.tokens:,} tokens are more than the {model.context:,} that it was made for")
    if problem := kv_cache.problem(model, use):
        yield _line("Problem", problem)


def _memory(plan: ModelPlan) -> Iterator[str]:
    host, cache = plan.need.host, plan.need.cache
    if plan.ask.pooled:
        request = vllm.request_bytes(plan.found.model, plan.ask.use.tokens, eight_bits=plan.ask.use.eight_bits)
        yield _line(
            "Memory", f"weights {size_text(host.weights)}; {size_text(request)} for each request; all in a pool on GPUs"
        )
        return
    parts = [f"weights {size_text(host.weights)}", f"context {size_text(cache.full + cache.windowed)}"]
    if cache.state:
        parts.append(f"states {size_text(cache.state)}")
    parts.append(f"buffers {size_text(host.compute)}")
    if host.projector:
        parts.append(f"pictures {size_text(host.projector)}")
    if host.adapters:
        parts.append(f"adapters {size_text(host.adapters)}")
    if host.prompts:
        parts.append(f"kept prompts {size_text(host.prompts)}")
    parts.append(f"program {size_text(host.program)}")
    yield _line("Memory", f"{' + '.join(parts)} = {size_text(host.total)}")
    if plan.stated:
        yield _line("Stated", plan.stated)


def _nodes(plan: ModelPlan) -> list[str]:
    rows = [_HEADINGS, *(_row(one, plan) for one in plan.fits)]
    lines = aligned(rows)
    for one, at in zip(plan.fits, range(len(plan.fits), 0, -1), strict=True):
        if one.remedies:
            lines.insert(len(lines) - at + 1, f"  would fit with {_or(one.remedies)}")
    return lines


def _row(one: Fit, plan: ModelPlan) -> Sequence[str]:
    room = one.node.memory
    device = "-"
    if one.accelerators is not None:
        device = f"{size_text(one.device)} of {size_text(one.accelerators.memory)}"
    if not one.fits:
        why = f"no: {size_text(one.short)} of {one.where} short" if one.short else f"no: {one.where}"
        memory = f"{size_text(one.host)} of {size_text(room)}" if one.host else "-"
        return (one.node.name, why, memory, device, "-", "-")
    most = f"{one.most_tokens:,}"
    most += f" ({one.at_once:.1f} at once)" if one.at_once else f" x {plan.ask.use.slots}"
    ready = "" if one.node.ready else ", but it is not ready"
    return (
        one.node.name, f"yes, {_place(one)}{ready}", f"{size_text(one.host)} of {size_text(room)}", device, one.band, most,
    )  # fmt: skip


def _place(one: Fit) -> str:
    assert one.place is not None
    if not one.place.gpus or one.accelerators is None:
        return "on cores"
    gpus = f"on {one.place.gpus} of {one.accelerators.count} GPUs" if one.accelerators.count > 1 else "on its GPU"
    if one.place.cpu_experts:
        return f"{gpus}, experts of {one.place.cpu_experts} layers on cores"
    return f"{gpus} with {one.place.gpu_layers} layers" if one.place.gpu_layers is not None else gpus


def _tail(plan: ModelPlan) -> Iterator[str]:
    if plan.found.others:
        shown = [
            f"{other.quantisation or other.name} {other.size / 10**9:.1f} GB"
            for other in plan.found.others[:_MOST_OTHERS]
        ]
        more = len(plan.found.others) - len(shown)
        yield ""
        yield _line("Also there", ", ".join(shown) + (f" and {more} more" if more else ""))
    if plan.found.projector:
        yield _line("Pictures", f"{plan.found.projector} is its projector, {size_text(plan.found.projector_bytes)}")


def _task(task: Task) -> str:
    return {Task.CHAT: "chat", Task.EMBEDDINGS: "embeddings", Task.RERANK: "reranking"}.get(task, str(task).lower())


def _or(choices: Sequence[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _line(label: str, text: str) -> str:
    return f"{label.ljust(_LABEL)} {text}"


def stated_text(stated: str, needed: int) -> str:
    """Says whether the memory that a resource states will do."""
    return f"resources.memory is {stated}; {quantity_text(needed)} is what it needs"
