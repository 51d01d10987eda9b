"""A mismatch is a model that its server will not serve as it is asked to, as far as that follows from the model's header.

Only what is certain is told: what vLLM checks before it loads (vllm/config/model.py: verify_with_parallel_config,
_get_and_verify_max_len; QKVParallelLinear for key-value heads), and what llama-server refuses (src/llama-context.cpp).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genset.sizing import attention, kv_cache
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts, Task

MOST_SPLITS = 16  # accelerators of one replica that messages name


@dataclass(frozen=True)
class Serving:
    """How a model is to be served. `tensor` and `pipeline`: over how many accelerators each layer, and the layers, are split.
    `stretched`: an argument of the server changes how far the model reaches."""

    use: ModelUse
    pooled: bool = False  # by an engine that serves whole repositories
    tensor: int = 1
    pipeline: int = 1
    task: Task = Task.CHAT
    stretched: bool = False


def problems(model: ModelFacts, serving: Serving) -> Iterator[str]:
    """Yields why the server will not come up, or can answer nothing, each with the remedy."""
    if model.task in (Task.PROJECTOR, Task.ADAPTER):
        word = str(model.task).lower()
        yield f"it is {'an' if word[0] in 'aeiou' else 'a'} {word} and no model of its own: name the model that it is for"
        return
    yield from model.unfit
    if serving.task is Task.CHAT and model.architecture in attention.ENCODERS:
        yield f"a model of architecture {model.architecture} makes vectors and answers no chat: set task to {model.task}"
    if not serving.pooled:
        if words := kv_cache.problem(model, serving.use):
            yield words
        if serving.use.drafts and model.ahead == ():
            yield (
                "it has no layers that predict ahead, which --spec-type draft-mtp needs: take that out of extraArgs, or "
                "name a file that has them (MTP)"
            )
        return
    if words := tensor_problem(model, serving.tensor):
        yield words
    if serving.pipeline > len(model.layers):
        yield f"{len(model.layers)} layers cannot be split over {serving.pipeline} groups: lower parallelism.pipeline"
    if is_too_long(model, serving):
        yield (
            f"context.tokens is {serving.use.tokens}, and the model was made for {model.context}: lower it, or stretch the "
            "model with --hf-overrides in extraArgs"
        )


def is_too_long(model: ModelFacts, serving: Serving) -> bool:
    """Says whether requests are to be longer than the model was made for. vLLM refuses that; llama-server cuts them off."""
    return 0 < model.context < serving.use.tokens and not serving.stretched


def tensor_problem(model: ModelFacts, gpus: int) -> str:
    """Says why vLLM can't split a model's layers over so many GPUs; empty if it can."""
    heads = next((layer.queries // layer.key_head for layer in model.layers if layer.key_head and layer.key), 0)
    cached = next((layer.key // layer.key_head for layer in model.layers if layer.key_head and layer.value), 0)
    if not heads or _splits(heads, cached, gpus):
        return ""
    fitting = [str(count) for count in range(1, MOST_SPLITS + 1) if _splits(heads, cached, count)]
    if heads % gpus:
        return f"{gpus} GPUs do not divide {heads} attention heads: use {', '.join(fitting)}"
    return f"{cached} key-value heads cannot be shared out to {gpus} GPUs: use {', '.join(fitting)}"


def _splits(heads: int, cached: int, gpus: int) -> bool:
    """Says whether each GPU gets as many heads. Key-value heads that are too few are kept several times; latent ones by all."""
    shared = not cached or cached % gpus == 0 or gpus % cached == 0
    return heads % gpus == 0 and shared
