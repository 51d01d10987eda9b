"""A model is what its files say of it, as far as memory and speed depend on it: layers, caches, weights.

Everything here is plain values. `gguf_model` and `hf_model` make them from the headers of files; `kv_cache`, `memory` and
`vllm` reckon with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ModelError(ValueError):
    """The headers tell of no model that could be reckoned with. The message says what is missing or wrong."""


class Task(StrEnum):
    """What a model is for."""

    CHAT = "Chat"
    EMBEDDINGS = "Embeddings"
    RERANK = "Rerank"
    PROJECTOR = "Projector"  # turns pictures or sound into what a text model reads; no model by itself
    ADAPTER = "Adapter"  # changes another model's weights (LoRA)


@dataclass(frozen=True)
class SideCache:
    """A side cache holds keys of its own beside a layer's main one, a cell for each `ratio` tokens.

    With it an indexer chooses what to attend to (DeepSeek V3.2, GLM-5), or old tokens are kept compressed (DeepSeek V4).
    """

    key: int
    ratio: int = 1


@dataclass(frozen=True)
class Layer:
    """A layer's cache and weights.

    `key` and `value` are what a token adds to the cache, in elements over all heads that are cached; 0 if the layer has no
    cache of its own. `window`: tokens that it looks back; 0 is all of them. `state`: elements of F32 that a sequence keeps
    whatever its length. Weights in bytes; experts are those that a token may or may not choose.
    """

    key: int = 0
    value: int = 0
    key_head: int = 0
    value_head: int = 0
    window: int = 0
    state: int = 0
    weights: int = 0
    experts: int = 0
    queries: int = 0  # elements over all query heads: the size of an intermediate result
    mixed: int = 0  # elements that a recurrent layer mixes for a token
    side: tuple[SideCache, ...] = ()
    apart: bool = False  # a cache for each sequence, even if slots share one otherwise
    ahead: bool = False  # it predicts further tokens (MTP): in the file, and loaded only if it is used


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters. `active`: those that one token uses; a mixture of experts has more in total."""

    total: int = 0
    active: int = 0


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: how many there are, how many a token uses, and how wide one is."""

    count: int = 0
    used: int = 0
    width: int = 0


@dataclass(frozen=True)
class Edges:
    """What lies before the first and behind the last layer. Weights in bytes; `input` is only looked up, so it stays on
    the CPU."""

    width: int = 0  # of the hidden state
    feed_forward: int = 0
    vocabulary: int = 0
    input: int = 0
    output: int = 0
    other: int = 0


@dataclass(frozen=True)
class ModelFacts:
    """A model by the facts of its files."""

    architecture: str
    layers: tuple[Layer, ...]
    edges: Edges = field(default_factory=Edges)
    parameters: Parameters = field(default_factory=Parameters)
    experts: Experts = field(default_factory=Experts)
    name: str = ""
    quantisation: str = ""
    licence: str = ""
    context: int = 0  # tokens it was trained for; 0 is unknown
    task: Task = Task.CHAT
    file_bytes: int = 0  # of all files
    notes: tuple[str, ...] = ()  # what could not be known, for people
    ahead: tuple[Layer, ...] | None = None  # behind `layers`, those that predict further tokens; None: not known
    unfit: tuple[str, ...] = ()  # companions that belong to another model: field and reason, for people

    @property
    def weights(self) -> int:
        """Returns the bytes of all weights that are loaded."""
        edges = self.edges
        return edges.input + edges.output + edges.other + sum(layer.weights + layer.experts for layer in self.layers)

    @property
    def bits(self) -> float:
        """Returns the bits per weight over all; 0 if it is not known."""
        return self.weights * 8 / self.parameters.total if self.parameters.total else 0.0

    @property
    def read_per_token(self) -> int:
        """Returns the bytes of weights that the next token of one sequence needs to read."""
        share = self.experts.used / self.experts.count if self.experts.count else 1.0
        layers = sum(layer.weights + int(layer.experts * share) for layer in self.layers)
        return layers + (self.edges.output or self.edges.input) + self.edges.other


def integer(values: Mapping[str, object], *names: str, default: int = 0, most: int = 2**40) -> int:
    """Returns the first of some keys that holds a whole number, which is refused below 0 and above `most`."""
    for name in names:
        value = values.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= most:
                raise ModelError(f"{name} is {value}, which no model has")
            return value
    return default


def total(layers: Iterable[Layer]) -> int:
    """Returns the bytes of weights of some layers."""
    return sum(layer.weights + layer.experts for layer in layers)
