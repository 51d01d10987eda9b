"""Headers and configurations from strangers: whatever they say is read, or refused in a sentence, and costs little."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.sizing import fit, gguf_model, hf_model, kv_cache, memory, nodes, safetensors
from genset.sizing.fit import Ask
from genset.sizing.gguf import GgufError, GgufHeader, GgufTensor, read_header
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelError, ModelFacts
from genset.sizing.nodes import Node, NodesError
from tests.support.sizing import families, kinds

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64),
    st.floats(),
    st.booleans(),
    st.text(max_size=8),
    st.none(),
    st.lists(st.integers(0, 2**40), max_size=6),
)
NODE_KEYS = [
    "metadata",
    "status",
    "name",
    "labels",
    "allocatable",
    "cpu",
    "memory",
    "accelerator",
    "spec",
    "conditions",
]
TENSORS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 60)), max_size=5)
KEYS = [
    "block_count", "embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "attention.sliding_window", "attention.sliding_window_pattern", "feed_forward_length",
    "expert_count", "expert_used_count", "nextn_predict_layers", "full_attention_interval", "context_length",
    "attention.shared_kv_layers", "ssm.conv_kernel", "ssm.inner_size", "ssm.state_size", "attention.compress_ratios",
    "attention.indexer.types", "attention.indexer.key_length", "pooling_type", "vocab_size",
]  # fmt: skip
ARCHITECTURES = st.sampled_from(
    [
        "llama",
        "gemma3",
        "gemma4",
        "qwen35moe",
        "deepseek2",
        "deepseek4",
        "glm-dsa",
        "mamba2",
        "jamba",
        "gpt-oss",
        "clip",
        "new",
    ]
)


def reckon(model: ModelFacts) -> None:
    """Everything that is done with a model."""
    use = ModelUse(8192, 4, drafts=3)
    assert kv_cache.size(model.layers, use).total >= 0
    assert memory.need(model, use, memory.Placement(2, 1, 1)).host.total >= 0
    gpu = nodes.Accelerators("nvidia", 2, 80 * 2**30)
    fit.fit(model, Node("a", 8, 2**36, (gpu,)), Ask(use))
    fit.fit(model, Node("a", 8, 2**36, (gpu,)), Ask(use, pooled=True))


@settings(max_examples=300, deadline=None)
@given(ARCHITECTURES, st.dictionaries(st.sampled_from(KEYS), NUMBERS), TENSORS)
def test_any_metadata_is_read_or_refused(
    architecture: str, values: dict[str, Any], tensors: list[tuple[int, int]]
) -> None:
    scalars = {f"{architecture}.{key}": value for key, value in values.items() if isinstance(value, int | float | str)}
    arrays = {f"{architecture}.{key}": tuple(value) for key, value in values.items() if isinstance(value, list)}
    header = GgufHeader(
        3, len(tensors), 0, {"general.architecture": architecture, **scalars}, arrays=arrays,
        tensors=tuple(GgufTensor(f"blk.{layer}.ffn_up_exps.weight", (layer, 7), kind) for layer, kind in tensors),
    )  # fmt: skip
    try:
        model = gguf_model.from_headers([header])
    except ModelError:
        return
    reckon(model)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([families.GEMMA3_27B, families.DEEPSEEK_V3, families.QWEN35_35B, families.GPT_OSS_20B]), st.data()
)
def test_any_configuration_is_read_or_refused(config: dict[str, Any], data: st.DataObject) -> None:
    changed = json.loads(json.dumps(config))
    inner = changed.get("text_config", changed)
    for key in data.draw(st.lists(st.sampled_from(sorted(inner)), max_size=4)):
        inner[key] = data.draw(NUMBERS)
    try:
        model = hf_model.from_config(changed)
    except ModelError:
        return
    reckon(model)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_safetensors_header_is_read_or_refused(header: bytes) -> None:
    for read in (safetensors.header_length, safetensors.read_header, safetensors.index_size):
        try:
            read(header)
        except safetensors.SafetensorsError:
            pass


@settings(max_examples=300)
@given(
    st.sampled_from([None, "Node", "NodeList"]),
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NODE_KEYS), inner, max_size=5)
        ),
        max_leaves=12,
    ),
)
def test_any_list_of_nodes_is_read_or_refused(kind: str | None, content: Any) -> None:
    document = content
    if kind == "Node" and isinstance(content, dict):
        document = {**content, "kind": "Node"}
    elif kind == "NodeList":
        document = {"kind": "NodeList", "items": content}
    try:
        nodes.from_document(document)
    except NodesError:
        pass


def test_a_header_that_repeats_itself_costs_little() -> None:
    """65,536 arrays of 4,096 bytes each are 256 MiB of file; as Python numbers they would be gigabytes."""
    one = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 0, 4096) + b"\1" * 4096
    count = 8_000
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, count) + one * count
    tracemalloc.start()
    began = time.monotonic()
    read_header(io.BytesIO(data))
    assert time.monotonic() - began < 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**63,)])
def test_a_tensor_larger_than_any_model_is_refused(shape: tuple[int, ...]) -> None:
    info = (
        struct.pack("<Q", 1) + b"t" + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", one) for one in shape)
    )
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info + struct.pack("<IQ", 0, 0)
    with pytest.raises(GgufError, match="elements in tensor t"):
        read_header(io.BytesIO(data), tensors=True)


def test_shards_are_added_up_in_any_order(tmp_path: Path) -> None:
    path = kinds.gpt_oss().write(tmp_path)
    with path.open("rb") as stream:
        whole = read_header(stream, tensors=True)
    first = GgufHeader(3, 0, 0, whole.metadata, arrays=whole.arrays, lengths=whole.lengths, tensors=whole.tensors[:30])
    second = GgufHeader(3, 0, 0, {"split.no": 1}, tensors=whole.tensors[30:])
    assert gguf_model.from_headers([second, first]) == gguf_model.from_headers([whole])
    with pytest.raises(ModelError, match="first shard"):
        gguf_model.from_headers([second])
