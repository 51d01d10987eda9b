"""The compute buffer holds what a batch needs between layers; ggml plans it so that results share room.

Unlike the caches it is an estimate, as the planner's result follows from the whole graph. The formula takes the largest
phase of a layer; it was found by what build 11669 logs for a model of each kind of attention on a CPU, and stays within
10 % of it there (tests/unit/sizing/test_llama_server.py).
"""

from __future__ import annotations

from genset.sizing import attention
from genset.sizing.kv_cache import ModelUse, cells, padded
from genset.sizing.model import Layer, ModelFacts

F32, F16 = 4, 2  # bytes
_UNGATED = frozenset({"bert"})  # of the encoders


def buffer(model: ModelFacts, use: ModelUse, outputs: int) -> int:
    """Returns the bytes of one device's buffer; `outputs`: rows of logits that a batch asks for at most."""
    batch = min(use.ubatch, padded(use.tokens * use.slots))
    if model.architecture in attention.ENCODERS:
        return masks(model, use, batch) + _encoder(model) * batch * F32
    width = max([_feed_forward(model), *(_attention(model, layer) for layer in model.layers)])
    logits = outputs * model.edges.vocabulary * F32
    return masks(model, use, batch) + max(width * batch * F32, logits)


def masks(model: ModelFacts, use: ModelUse, batch: int) -> int:
    """Returns the bytes of the masks that tell which cell a token may see, or which token of the batch where nothing is
    cached: one for each kind of layer."""
    if model.architecture in attention.ENCODERS:
        return len({layer.window > 0 for layer in model.layers}) * batch * batch * F16
    sizes = {layer.window > 0: cells(layer, use) for layer in model.layers if layer.key}
    indexed = max((padded(-(-use.cells // one.ratio)) for layer in model.layers for one in layer.side), default=0)
    return (sum(sizes.values()) * F16 + indexed * (F16 + F32)) * batch


def _encoder(model: ModelFacts) -> int:
    """Returns how many numbers a token needs at most in a model that reads a text as a whole. Those beside BERT have gates."""
    width, feed = model.edges.width, model.edges.feed_forward
    return max(7 * width, 6 * width + (feed if model.architecture in _UNGATED else 2 * feed))


def _attention(model: ModelFacts, layer: Layer) -> int:
    """Returns how many numbers a token needs at most while a layer attends."""
    hidden = model.edges.width
    if layer.key and not layer.value:  # latent: queries are as long as the latent key
        return 4 * layer.queries
    if layer.state:
        return 5 * hidden + 4 * layer.mixed
    return hidden + 2 * layer.queries + 4 * max(layer.key, layer.value)


def _feed_forward(model: ModelFacts) -> int:
    """Returns how many numbers a token needs at most in a feed-forward block or a mixture of experts."""
    edges, experts = model.edges, model.experts
    if experts.count:
        return max(6 * edges.width, 3 * edges.width + experts.used * (edges.width + 2 * experts.width))
    return max(6 * edges.width, 5 * edges.width + 3 * edges.feed_forward)
