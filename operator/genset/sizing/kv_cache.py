"""The KV cache of llama.cpp, to the byte: what `llama_kv_cache` and `llama_memory_recurrent` log as their buffer sizes.

Seen with build 11669 on a model of each kind of attention (tests/unit/sizing/test_llama_server.py). What decides:

- a sequence's context is padded to 256 cells; unified, all slots share one stream of all cells;
- layers with a window have cells for the window and one batch (`-ub`), padded to 256, but never more than all;
- latent attention keeps a key and no value; layers that share a cache have none;
- a state is kept in F32, once for each slot; and, if layers of the model predict so many tokens ahead, once more for each of
  them, so that a wrong guess can be taken back. Those layers have a cache of their own, of another type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from genset.sizing.model import Layer, ModelFacts
from genset.sizing.quantisation import CACHE_TYPES

PADDING = 256  # cells
UBATCH = 512  # tokens; llama-server's -ub
STATE_BYTES = 4  # an element of a state is F32, whatever the cache's type


@dataclass(frozen=True)
class ModelUse:
    """How a model is used: tokens of one request, requests at once, and the options of llama-server that change its
    memory."""

    tokens: int = 4096
    slots: int = 4
    key_type: str = "f16"
    value_type: str = "f16"
    unified: bool = False  # --kv-unified
    full_windows: bool = False  # --swa-full
    ubatch: int = UBATCH
    drafts: int = 0  # tokens that layers of the model predict ahead (--spec-type draft-mtp, --spec-draft-n-max)
    draft_key_type: str = "f16"  # of those layers
    draft_value_type: str = "f16"
    eight_bits: bool = False  # numbers of a pool have one byte (vLLM's --kv-cache-dtype fp8)

    @property
    def streams(self) -> int:
        """Returns how many caches stand side by side."""
        return 1 if self.unified else self.slots

    @property
    def cells(self) -> int:
        """Returns the cells of one stream."""
        return padded(self.tokens * self.slots) if self.unified else padded(self.tokens)


@dataclass(frozen=True)
class CacheSize:
    """Bytes of a model's caches: of layers that look back on everything, of those with a window, of states."""

    full: int = 0
    windowed: int = 0
    side: int = 0  # of indexers, and compressed
    state: int = 0

    @property
    def total(self) -> int:
        """Returns their sum."""
        return self.full + self.windowed + self.side + self.state


def padded(cells: int) -> int:
    """Returns the next multiple of 256."""
    return -(-cells // PADDING) * PADDING


def cells(layer: Layer, use: ModelUse) -> int:
    """Returns the cells that a layer has in one stream."""
    if not layer.window or use.full_windows:
        return use.cells
    sequences = use.slots if use.unified and not layer.apart else 1
    return padded(min(use.cells, layer.window * sequences + use.ubatch))


def of_layer(layer: Layer, use: ModelUse) -> int:
    """Returns the bytes of one layer's keys and values, without its state and its side caches."""
    kinds = (use.draft_key_type, use.draft_value_type) if layer.ahead else (use.key_type, use.value_type)
    key, value = (CACHE_TYPES[kind] for kind in kinds)
    return (key.bytes(layer.key) + value.bytes(layer.value)) * cells(layer, use) * _streams(layer, use)


def side_of_layer(layer: Layer, use: ModelUse) -> int:
    """Returns the bytes of what one layer keeps beside its main cache."""
    kind = CACHE_TYPES[use.key_type]
    return sum(kind.bytes(one.key) * padded(-(-use.cells // one.ratio)) * _streams(layer, use) for one in layer.side)


def state_of_layer(layer: Layer, use: ModelUse) -> int:
    """Returns the bytes of one layer's states."""
    return layer.state * STATE_BYTES * use.slots * (1 + use.drafts)


def _streams(layer: Layer, use: ModelUse) -> int:
    return use.slots if layer.apart else use.streams


def size(layers: Iterable[Layer], use: ModelUse) -> CacheSize:
    """Returns what the caches of some layers take."""
    every = tuple(layers)

    def summed(of: Callable[[Layer, ModelUse], int], chosen: Callable[[Layer], bool]) -> int:
        return sum(of(layer, use) for layer in every if chosen(layer))

    return CacheSize(
        full=summed(of_layer, lambda layer: not layer.window),
        windowed=summed(of_layer, lambda layer: layer.window > 0),
        side=summed(side_of_layer, lambda layer: True),
        state=summed(state_of_layer, lambda layer: True),
    )


def problem(model: ModelFacts, use: ModelUse) -> str:
    """Says why llama-server would refuse the types of the cache; empty if it would not."""
    for word, chosen, heads in (
        ("keys", use.key_type, [layer.key_head for layer in model.layers if layer.key]),
        ("values", use.value_type, [layer.value_head for layer in model.layers if layer.value]),
    ):
        if chosen not in CACHE_TYPES:
            return f"cache type {chosen} is unknown: use one of {', '.join(CACHE_TYPES)}"
        block = CACHE_TYPES[chosen].block
        odd = next((head for head in heads if head % block), 0)
        if odd:
            return f"a cache of type {chosen} packs {block} numbers, which do not divide heads of {odd} {word}: use f16"
    if use.key_type != use.value_type and any(layer.key and not layer.value for layer in model.layers):
        return "latent attention keeps keys and values in one: give both the same cache type"
    return ""
