"""This module reads a model out of the headers of its GGUF files, by the rules of llama.cpp.

Keys are those of gguf-py's constants.py. A header may be hostile: `gguf.read_header` bounds its size, this module bounds
what the numbers in it may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from genset.sizing import attention, licences
from genset.sizing.gguf import GgufHeader, GgufTensor
from genset.sizing.model import Edges, Experts, Layer, ModelError, ModelFacts, Parameters, SideCache, Task, integer
from genset.sizing.quantisation import TYPES, file_type

MOST_LAYERS = 1024
MOST_HEADS = 65_536
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_ROUTED = re.compile(r"_(?:exps|chexps)\.(?:weight|bias)$")


@dataclass
class _Weights:
    """Sums of tensors by where they are: bytes of weights and of experts, and elements, for each layer."""

    weights: dict[int, int] = field(default_factory=dict)
    experts: dict[int, int] = field(default_factory=dict)
    elements: dict[int, int] = field(default_factory=dict)
    routed: dict[int, int] = field(default_factory=dict)  # elements of experts
    input: int = 0
    output: int = 0
    other: int = 0
    edge_elements: int = 0
    unknown: set[int] = field(default_factory=set)  # types without a known size


def from_headers(headers: Sequence[GgufHeader], file_bytes: int = 0) -> ModelFacts:
    """Returns the model of one file or of all shards of a split one, in any order; read with `tensors=True`.

    Raises ModelError.
    """
    header = next((one for one in headers if one.architecture), None)
    if header is None:
        raise ModelError("no file names an architecture: for a split model read the first shard, too")
    return _Reader(header).model(_sums(tensor for one in headers for tensor in one.tensors), file_bytes)


class _Reader:
    """A reader looks up the keys of one architecture."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self._architecture = header.architecture
        self._count = self._number("block_count", most=MOST_LAYERS) if self._has("block_count") else 0
        self._nextn = min(self._number("nextn_predict_layers", most=MOST_LAYERS), max(0, self._count - 1))

    def model(self, sums: _Weights, file_bytes: int) -> ModelFacts:
        task = self._task()
        if task not in (Task.PROJECTOR, Task.ADAPTER) and not self._count:
            raise ModelError(f"{self._architecture}.block_count is missing: the file has no layers")
        count = self._count - self._nextn
        layers, ahead = self._layers(count, sums), self._ahead(count, sums)
        experts = Experts(
            self._number("expert_count", most=MOST_HEADS),
            self._number("expert_used_count", most=MOST_HEADS),
            self._number("expert_feed_forward_length") or self._most("feed_forward_length"),
        )
        metadata = self._header.metadata
        loaded = [*range(count)]
        total = sums.edge_elements + sum(sums.elements.get(layer, 0) for layer in loaded)
        routed = sum(sums.routed.get(layer, 0) for layer in loaded)
        idle = routed * (experts.count - experts.used) // experts.count if experts.count > experts.used else 0
        if task in (Task.PROJECTOR, Task.ADAPTER):
            total = sums.edge_elements + sum(sums.elements.values())
        kind = metadata.get("general.file_type")
        return ModelFacts(
            architecture=self._architecture,
            layers=layers,
            edges=Edges(
                width=self._number("embedding_length"),
                feed_forward=self._most("feed_forward_length"),
                vocabulary=self._vocabulary(),
                input=sums.input,
                output=sums.output,
                other=sums.other + (sum(sums.weights.values()) if not layers else 0),
            ),
            parameters=Parameters(total, total - idle),
            experts=experts,
            name=str(metadata.get("general.name", "")),
            quantisation=file_type(kind) if isinstance(kind, int) else "",
            licence=licences.normal(str(metadata.get("general.license.name") or metadata.get("general.license", ""))),
            context=self._number("context_length"),
            task=task,
            file_bytes=file_bytes,
            notes=self._notes(sums),
            ahead=ahead,
        )

    def _ahead(self, count: int, sums: _Weights) -> tuple[Layer, ...]:
        """Returns the layers that predict further tokens: each looks back on everything."""
        heads, kv_heads = self._each("attention.head_count", self._count), self._kv_heads(self._count)
        made = []
        for layer in range(count, self._count):
            key, value = self._heads(heads[layer], windowed=False)
            made.append(
                Layer(
                    key=kv_heads[layer] * key,
                    value=0 if self._latent else kv_heads[layer] * value,
                    key_head=key,
                    value_head=value,
                    weights=sums.weights.get(layer, 0),
                    experts=sums.experts.get(layer, 0),
                    queries=heads[layer] * key,
                    ahead=True,
                )
            )
        return tuple(made)

    def _layers(self, count: int, sums: _Weights) -> tuple[Layer, ...]:
        windows = attention.windows(
            self._architecture, count, self._number("attention.sliding_window"), self._pattern()
        )
        heads, kv_heads = self._each("attention.head_count", count), self._kv_heads(count)
        stateful = self._stateful(count, kv_heads)
        shared = count - self._number("attention.shared_kv_layers", most=MOST_LAYERS)
        shared = min(shared, attention.SHARED_FROM.get(self._architecture, count))
        made = []
        for layer in range(count):
            key, value = self._heads(heads[layer], windowed=windows[layer] > 0)
            cached = layer < shared and self._has_cache(layer, stateful)
            made.append(
                Layer(
                    key=kv_heads[layer] * key if cached else 0,
                    value=kv_heads[layer] * value if cached and not self._latent else 0,
                    key_head=key,
                    value_head=value,
                    window=windows[layer],
                    state=self._state() if stateful[layer] else self._compressor(layer, key),
                    weights=sums.weights.get(layer, 0),
                    experts=sums.experts.get(layer, 0),
                    queries=heads[layer] * key,
                    mixed=self._mixed() if stateful[layer] else 0,
                    side=self._side(layer, key),
                    apart=self._architecture in attention.COMPRESSED,
                )
            )
        return tuple(made)

    @property
    def _latent(self) -> bool:
        """Says whether only a latent key is kept: the file has to be made for it, older ones keep whole heads."""
        if self._architecture in attention.COMPRESSED:
            return True
        return self._architecture in attention.LATENT and self._has("attention.key_length_mla")

    def _heads(self, heads: int, *, windowed: bool) -> tuple[int, int]:
        """Returns the length of one head's key and value."""
        usual = self._number("embedding_length") // heads if heads else 0
        key = self._number("attention.key_length", default=usual)
        value = self._number("attention.value_length", default=usual)
        if windowed:
            key = self._number("attention.key_length_swa", default=key)
            value = self._number("attention.value_length_swa", default=value)
        return key, value

    def _kv_heads(self, count: int) -> list[int]:
        name = "attention.head_count_kv"
        return self._each(name if self._has(name) else "attention.head_count", count)

    def _stateful(self, count: int, kv_heads: Sequence[int]) -> list[bool]:
        """Says of each layer whether it keeps a state."""
        name = self._architecture
        if name in attention.RECURRENT or name in attention.BOTH:
            return [True] * count
        if name in attention.HYBRID_BY_HEADS:
            feed = self._each("feed_forward_length", count)
            only_empty = name.startswith("nemotron_h")  # its layers without heads may be nothing but feed-forward
            return [not heads and not (only_empty and feed[layer]) for layer, heads in enumerate(kv_heads)]
        if name in attention.INTERVALS:
            said = self._header.arrays.get(self._key("attention.recurrent_layers"))
            if said:
                return [bool(value) for value in said[:count]] + [False] * (count - len(said))
            interval = self._number("full_attention_interval", default=attention.INTERVALS[name]) or 1
            return [(layer + 1) % interval != 0 for layer in range(count)]
        return [not attention.is_known(name) and self._state() > 0] * count

    def _has_cache(self, layer: int, stateful: Sequence[bool]) -> bool:
        name = self._architecture
        if name in attention.ENCODERS:
            return False
        return not stateful[layer] or name in attention.BOTH or not attention.is_known(name)

    def _state(self) -> int:
        """Returns the elements of one layer's state for one sequence (llama-hparams.cpp, n_embd_r and n_embd_s)."""
        width = self._number("embedding_length")
        if self._has("wkv.head_size"):
            shifts = self._number("token_shift_count", default=2)
            return width * (shifts + self._number("wkv.head_size"))
        if self._has("shortconv.l_cache"):
            return width * max(0, self._number("shortconv.l_cache") - 1)
        kernel, inner = max(0, self._number("ssm.conv_kernel") - 1), self._number("ssm.inner_size")
        if self._has("kda.head_dim"):
            head, heads = self._number("kda.head_dim"), self._most("attention.head_count")
            return heads * head * (3 * kernel + head)
        size, groups = self._number("ssm.state_size"), self._number("ssm.group_count")
        return kernel * (inner + 2 * groups * size) + size * inner

    def _side(self, layer: int, key: int) -> tuple[SideCache, ...]:
        """Returns what a layer keeps beside its cache: keys of an indexer, or compressed ones."""
        indexer = self._number("attention.indexer.key_length")
        if self._architecture in attention.INDEXED:
            chosen = attention.indexers(
                self._architecture,
                self._number("context_length"),
                self._header.arrays.get(self._key("attention.indexer.types")),
            )
            return (SideCache(indexer),) if chosen is None or (layer < len(chosen) and chosen[layer]) else ()
        ratio = self._ratio(layer)
        if ratio == attention.INDEXED_RATIO:
            return SideCache(key, ratio), SideCache(indexer, ratio)
        return (SideCache(key, ratio),) if ratio else ()

    def _ratio(self, layer: int) -> int:
        if self._architecture not in attention.COMPRESSED:
            return 0
        found = self._header.arrays.get(self._key("attention.compress_ratios"), ())
        return integer({"ratio": found[layer]}, "ratio", most=2**20) if layer < len(found) else 0

    def _compressor(self, layer: int, key: int) -> int:
        """Returns the elements of what a layer has not compressed yet (llama-kv-cache-dsv4.cpp): values and scores."""
        ratio = self._ratio(layer)
        if ratio != attention.INDEXED_RATIO:
            return 2 * key * ratio
        return 2 * 2 * ratio * 2 * (key + self._number("attention.indexer.key_length"))

    def _mixed(self) -> int:
        size, groups = self._number("ssm.state_size"), self._number("ssm.group_count")
        return self._number("ssm.inner_size") + 2 * groups * size

    def _task(self) -> Task:
        if self._header.metadata.get("general.type") == "mmproj" or self._architecture == "clip":
            return Task.PROJECTOR
        if self._header.metadata.get("general.type") == "adapter":
            return Task.ADAPTER
        pooling = self._number("pooling_type")
        if pooling == 4:
            return Task.RERANK
        return Task.EMBEDDINGS if pooling or self._architecture in attention.ENCODERS else Task.CHAT

    def _vocabulary(self) -> int:
        return self._header.lengths.get("tokenizer.ggml.tokens", 0) or self._number("vocab_size")

    def _pattern(self) -> int | Sequence[object] | None:
        key = self._key("attention.sliding_window_pattern")
        if key in self._header.arrays:
            return self._header.arrays[key]
        value = self._header.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_LAYERS else None

    def _notes(self, sums: _Weights) -> tuple[str, ...]:
        notes = []
        if self._count and not attention.is_known(self._architecture):
            notes.append(
                f"architecture {self._architecture} is not known here: its cache is reckoned as full attention in "
                "every layer, and a state where it has any, which may be too much"
            )
        if sums.unknown:
            kinds = ", ".join(str(kind) for kind in sorted(sums.unknown)[:4])
            notes.append(f"tensors of unknown type ({kinds}) count as 4 bits per weight")
        return tuple(notes)

    def _each(self, name: str, count: int) -> list[int]:
        """Returns a key that may hold one number for all layers or one for each."""
        found = self._header.arrays.get(self._key(name))
        if found is None:
            return [self._number(name, most=2**31)] * count
        values = [integer({name: value}, name, most=2**31) for value in found[:count]]
        return values + [0] * (count - len(values))

    def _most(self, name: str) -> int:
        return max(self._each(name, max(1, self._count)), default=0)

    def _number(self, name: str, *, default: int = 0, most: int = 2**31) -> int:
        return integer(self._header.metadata, self._key(name), default=default, most=most)

    def _has(self, name: str) -> bool:
        key = self._key(name)
        return key in self._header.metadata or key in self._header.arrays

    def _key(self, name: str) -> str:
        return f"{self._architecture}.{name}"


def _sums(tensors: Iterable[GgufTensor]) -> _Weights:
    sums = _Weights()
    for tensor in tensors:
        elements = 1
        for dimension in tensor.shape:
            elements *= dimension
        kind = TYPES.get(tensor.kind)
        if kind is None:
            sums.unknown.add(tensor.kind)
        size = kind.bytes(elements) if kind is not None else elements // 2
        found = _BLOCK.match(tensor.name)
        layer = int(found[1]) if found and len(found[1]) < 6 else None
        if layer is None:
            sums.edge_elements += elements
            if tensor.name.startswith(("token_embd.", "per_layer_token_embd.")):
                sums.input += size
            elif tensor.name == "output.weight":
                sums.output += size
            else:
                sums.other += size
            continue
        _add(sums.elements, layer, elements)
        if _ROUTED.search(tensor.name):
            _add(sums.experts, layer, size)
            _add(sums.routed, layer, elements)
        else:
            _add(sums.weights, layer, size)
    return sums


def _add(sums: dict[int, int], layer: int, value: int) -> None:
    sums[layer] = sums.get(layer, 0) + value
