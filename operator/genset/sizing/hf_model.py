"""This module reads a model out of a repository's config.json, for engines that serve whole repositories, and for plans
before a GGUF file is chosen.

Layers, caches and numbers of parameters follow from the configuration. Weights are the bytes of the safetensors files,
spread over the layers by their parameters; without files, of the quantisation that is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genset.sizing import attention, licences
from genset.sizing.hf_parameters import FULL, LINEAR, WINDOW, Config
from genset.sizing.model import Edges, Layer, ModelError, ModelFacts, Parameters, SideCache, Task, integer
from genset.sizing.quantisation import FILE_BITS, estimated_bytes

#: llama.cpp's name of an architecture by `model_type`, if it is not the same.
_ARCHITECTURES: Mapping[str, str] = {
    "gemma3_text": "gemma3", "gemma3n_text": "gemma3n", "gemma4_text": "gemma4",
    "gemma4_unified": "gemma4", "gemma4_unified_text": "gemma4", "gpt_oss": "gpt-oss",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "kimi_k2": "deepseek2",
    "deepseek_v32": "deepseek32", "deepseek_v4": "deepseek4",
    "llama4_text": "llama4", "mistral": "llama", "mixtral": "llama", "mistral3": "llama", "qwen3_moe": "qwen3moe",
    "qwen2_moe": "qwen2moe", "qwen3_next": "qwen3next", "qwen3_5": "qwen35", "qwen3_5_text": "qwen35",
    "qwen3_5_moe": "qwen35moe", "qwen3_5_moe_text": "qwen35moe", "phi": "phi2", "phimoe": "phimoe", "cohere": "command-r",
    "glm4_moe": "glm4moe", "glm_moe_dsa": "glm-dsa", "granitemoehybrid": "granitehybrid", "xlm-roberta": "bert",
    "modernbert": "modern-bert", "nomic_bert": "nomic-bert",
}  # fmt: skip
_DTYPE_NAMES: Mapping[str, str] = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
MOST_STRETCH = 1024  # of a context, by its positions
_NESTED = ("text_config", "llm_config", "language_config")
_EMBEDDERS = ("ForMaskedLM", "BertModel", "XLMRobertaModel", "EmbeddingModel")


def from_config(
    config: Mapping[str, Any], *, file_bytes: int = 0, quantisation: str = "", name: str = "", licence: str = ""
) -> ModelFacts:
    """Returns the model of a configuration.

    `file_bytes`: of its safetensors files; else `quantisation` says what it would take. Raises ModelError.
    """
    text = _text(config)
    values = Config(text)
    architecture = _architecture(text)
    counted = [values.layer(number) for number in range(values.layers)]
    tied = bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    table = values.vocabulary * values.hidden
    looked_up = values.per_layer_table
    total = sum(one.always + one.experts for one in counted) + table * (1 if tied else 2) + looked_up
    experts = values.experts
    idle = sum(one.experts for one in counted) * (experts.count - experts.used) // experts.count if experts.count else 0
    quantisation = quantisation or _quantisation(config, text)
    size = file_bytes or estimated_bytes(total, quantisation if quantisation in FILE_BITS else "BF16")
    share = size / total if total else 0.0
    layers = tuple(
        _layer(values, architecture, number, int(one.always * share), int(one.experts * share))
        for number, one in enumerate(counted)
    )
    spread = sum(layer.weights + layer.experts for layer in layers)
    head = 0 if tied else int(table * share)
    return ModelFacts(
        architecture=architecture,
        layers=layers,
        edges=Edges(values.hidden, values.feed_forward, values.vocabulary, max(0, size - spread - head), head),
        parameters=Parameters(total, total - idle - looked_up),
        experts=experts,
        name=name,
        quantisation=quantisation,
        licence=licences.normal(licence),
        context=_context(values, text),
        task=_task(config),
        file_bytes=file_bytes,
        notes=() if attention.is_known(architecture) else (_unknown(architecture),),
    )


def _text(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part about text, over what stands beside it."""
    if not isinstance(config, Mapping):
        raise ModelError("config.json is no JSON object")
    nested: Mapping[str, Any] = next((config[key] for key in _NESTED if isinstance(config.get(key), Mapping)), {})
    return {**config, **nested}


def _context(values: Config, text: Mapping[str, Any]) -> int:
    """Returns how far the model reaches: a stretched one further than the number of its positions (vllm/config/model.py,
    _get_and_verify_max_len)."""
    positions = values.number("max_position_embeddings", "model_max_length", "seq_length", most=2**31)
    found = text.get("rope_scaling") or text.get("rope_parameters")
    rope = found if isinstance(found, Mapping) else {}
    factor, kind = rope.get("factor", 1), rope.get("rope_type") or rope.get("type")
    if kind in ("su", "longrope", "llama3") or not isinstance(factor, int | float) or not 1 <= factor <= MOST_STRETCH:
        return positions
    if "gemma3" in str(text.get("model_type", "")):
        return positions  # its number of positions is the stretched one
    plain = integer(rope, "original_max_position_embeddings", most=2**31) if kind == "yarn" else positions
    return max(positions, int(plain * factor))


def _architecture(text: Mapping[str, Any]) -> str:
    kind = str(text.get("model_type", ""))[:64]
    return _ARCHITECTURES.get(kind, kind)


def _quantisation(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    chosen = config.get("quantization_config") or text.get("quantization_config")
    if isinstance(chosen, Mapping) and chosen.get("quant_method"):
        return str(chosen["quant_method"]).upper()[:32]
    dtype = text.get("torch_dtype") or text.get("dtype") or config.get("torch_dtype") or config.get("dtype")
    return _DTYPE_NAMES.get(str(dtype), "BF16")


def _layer(values: Config, architecture: str, number: int, weights: int, experts: int) -> Layer:
    kind = values.attention_kind(number)
    if kind == LINEAR:
        key_heads, key = values.number("linear_num_key_heads"), values.number("linear_key_head_dim")
        heads, value = values.number("linear_num_value_heads"), values.number("linear_value_head_dim")
        mixed = 2 * key_heads * key + heads * value
        state = max(0, values.number("linear_conv_kernel_dim") - 1) * mixed + heads * value * key
        return Layer(state=state, mixed=mixed, weights=weights, experts=experts)
    if architecture in attention.ENCODERS:
        return Layer(weights=weights, experts=experts, queries=values.heads * values.head)
    if architecture in attention.COMPRESSED:
        return _compressed(values, number, weights, experts)
    if values.latent:
        latent = values.latent + values.number("qk_rope_head_dim")
        return Layer(
            key=latent,
            key_head=latent,
            value_head=latent,
            weights=weights,
            experts=experts,
            queries=values.heads * latent,
            side=_indexer(values, architecture, number),
        )
    count, head = values.cached_heads(number)
    width = 0 if values.shares_cache(number) else count * head
    return Layer(
        key=width,
        value=width,
        key_head=head,
        value_head=head,
        window=_window(values, architecture, number, kind),
        weights=weights,
        experts=experts,
        queries=values.heads * head,
    )


def _indexer(values: Config, architecture: str, number: int) -> tuple[SideCache, ...]:
    if architecture not in attention.INDEXED:
        return ()
    types = values.values.get("indexer_types")
    said = [str(one) in ("full", "1", "True") for one in types] if isinstance(types, list) else None
    chosen = attention.indexers(architecture, values.number("max_position_embeddings", most=2**31), said)
    has_own = chosen is None or (number < len(chosen) and chosen[number])
    return (SideCache(values.number("index_head_dim")),) if has_own else ()


def _compressed(values: Config, number: int, weights: int, experts: int) -> Layer:
    """Returns a layer of DeepSeek V4: a window, and what is older compressed by a ratio."""
    ratios = values.values.get("compress_ratios")
    found = ratios[number] if isinstance(ratios, list) and number < len(ratios) else 0
    ratio = integer({"compress_ratios": found}, "compress_ratios", most=2**20)
    index, key = values.number("index_head_dim"), values.head
    side: tuple[SideCache, ...] = (SideCache(key, ratio),) if ratio else ()
    state = 2 * key * ratio
    if ratio == attention.INDEXED_RATIO:
        side += (SideCache(index, ratio),)
        state = 8 * ratio * (key + index)
    return Layer(
        key=key,
        key_head=key,
        value_head=key,
        window=values.number("sliding_window", most=2**31),
        state=state,
        weights=weights,
        experts=experts,
        queries=values.heads * key,
        side=side,
        apart=True,
    )


def _window(values: Config, architecture: str, number: int, kind: str) -> int:
    """Returns the window of a layer; 0 of architectures whose window llama.cpp does not keep to."""
    if architecture not in attention.WINDOWED:
        return 0
    window = values.number("sliding_window", "attention_chunk_size", most=2**31)
    if values.is_gemma4 or isinstance(values.values.get("layer_types"), list):
        return window if kind == WINDOW else 0
    pattern = values.number("sliding_window_pattern", "_sliding_window_pattern", most=1024) or None
    assert kind == FULL
    return attention.windows(architecture, values.layers, window, pattern)[number]


def _task(config: Mapping[str, Any]) -> Task:
    names = config.get("architectures")
    words = [str(name) for name in names] if isinstance(names, list) else []
    if any(word.endswith("ForSequenceClassification") for word in words):
        return Task.RERANK
    return Task.EMBEDDINGS if any(word.endswith(_EMBEDDERS) for word in words) else Task.CHAT


def _unknown(architecture: str) -> str:
    return (
        f"architecture {architecture or 'without a name'} is not known here: its cache is reckoned as full attention in "
        "every layer, which may be too much"
    )
