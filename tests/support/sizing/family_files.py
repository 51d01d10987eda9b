"""Headers of the GGUF files that public model families are shared as: real dimensions and tensor types, and no weights.

Names and shapes follow gguf-py's tensor maps; types follow llama.cpp's mixtures (src/llama-quant.cpp), so that a whole file has
the size that its makers publish. A header ends where its first weight would begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy

Q = gguf.GGMLQuantizationType
TypeOf = Callable[[str, int, int], gguf.GGMLQuantizationType]  # name of a matrix, its layer, number of layers
_LICENCE = {"phi3": "mit", "gemma2": "gemma", "gemma3": "gemma", "deepseek2": "other"}
_ARCHITECTURES = {
    "gemma3_text": "gemma3", "mistral": "llama", "gpt_oss": "gpt-oss", "kimi_k2": "deepseek2", "deepseek_v3": "deepseek2",
    "qwen3_5_moe_text": "qwen35moe", "llama4_text": "llama4",
}  # fmt: skip


def k_m(low: gguf.GGMLQuantizationType) -> TypeOf:
    """Returns the mixture that is called _K_M: half of the values' and the down projections have 6 bits."""

    def kind(name: str, layer: int, layers: int) -> gguf.GGMLQuantizationType:
        more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
        if name in ("output", "token_embd"):
            return Q.Q6_K
        return Q.Q6_K if more and name in ("attn_v", "attn_qkv", "ffn_down", "ffn_down_exps") else low

    return kind


def _mxfp4(name: str, layer: int, layers: int) -> gguf.GGMLQuantizationType:
    return Q.MXFP4 if "_exps" in name else Q.Q8_0


def _ud_q2(name: str, layer: int, layers: int) -> gguf.GGMLQuantizationType:
    """Unsloth's dynamic mixture: experts of 2 and 3 bits, everything that each token uses 6."""
    if "_exps" not in name:
        return Q.Q6_K
    return Q.Q3_K if name == "ffn_down_exps" else Q.Q2_K


MIXTURES: Mapping[str, TypeOf] = {"Q4_K_M": k_m(Q.Q4_K), "MXFP4": _mxfp4, "UD_Q2_K_XL": _ud_q2}


def text_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a configuration that is about text."""
    return {**config, **config.get("text_config", {})}


def write(path: Path, config: Mapping[str, Any], mixture: str, licence: str = "") -> int:
    """Writes the header of a family's file. Returns the bytes that the whole file has."""
    text = text_of(config)
    architecture = _ARCHITECTURES.get(text["model_type"], text["model_type"])
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.license", licence or _LICENCE.get(architecture, "apache-2.0"))
    for key, value in _metadata(architecture, text).items():
        writer.add_uint32(f"{architecture}.{key}", int(value))
    size, layers = 0, int(text["num_hidden_layers"])
    for name, shape in _tensors(architecture, text):
        part = name.removesuffix(".weight").rpartition(".")[2]
        layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
        kind = Q.F32 if len(shape) == 1 else MIXTURES[mixture](part, layer, layers)
        block, length = gguf.GGML_QUANT_SIZES[kind]
        if shape[0] % block:
            kind = Q.Q8_0 if shape[0] % 32 == 0 else Q.F16
            block, length = gguf.GGML_QUANT_SIZES[kind]
        elements = math.prod(shape)
        writer.add_tensor_info(
            name, tuple(reversed(shape)), numpy.dtype(numpy.float32), elements // block * length, kind
        )
        size += writer.ggml_pad(elements // block * length, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path.stat().st_size + size


def write_empty_shard(path: Path) -> None:
    """Writes a further file of a split model, with no tensor in it."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


def _metadata(architecture: str, text: Mapping[str, Any]) -> dict[str, int]:
    heads = text["num_attention_heads"]
    head = text.get("head_dim", text["hidden_size"] // heads)
    found = {
        "block_count": text["num_hidden_layers"],
        "context_length": text["max_position_embeddings"],
        "embedding_length": text["hidden_size"],
        "feed_forward_length": text.get("intermediate_size", 0),
        "vocab_size": text["vocab_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": text["num_key_value_heads"],
        "attention.key_length": head,
        "attention.value_length": head,
    }
    if text.get("sliding_window"):
        found["attention.sliding_window"] = text["sliding_window"]
    if count := text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts"):
        found |= {
            "expert_count": count,
            "expert_used_count": text["num_experts_per_tok"],
            "expert_feed_forward_length": text.get("moe_intermediate_size", text.get("intermediate_size")),
        }
    if text.get("linear_num_value_heads"):
        keys, values = text["linear_num_key_heads"], text["linear_num_value_heads"]
        found |= {
            "full_attention_interval": text["full_attention_interval"],
            "ssm.conv_kernel": text["linear_conv_kernel_dim"],
            "ssm.inner_size": values * text["linear_value_head_dim"],
            "ssm.state_size": text["linear_key_head_dim"],
            "ssm.time_step_rank": values,
            "ssm.group_count": keys,
        }
    if rank := text.get("kv_lora_rank"):
        rope = text["qk_rope_head_dim"]
        found |= {
            "attention.head_count_kv": 1,
            "attention.kv_lora_rank": rank,
            "attention.key_length": rank + rope,
            "attention.value_length": rank,
            "attention.key_length_mla": text["qk_nope_head_dim"] + rope,
            "attention.value_length_mla": text["v_head_dim"],
        }
    return found


def _tensors(architecture: str, text: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields names and shapes, the fastest dimension first."""
    hidden, vocabulary = text["hidden_size"], text["vocab_size"]
    yield "token_embd.weight", (hidden, vocabulary)
    yield "output_norm.weight", (hidden,)
    if not text.get("tie_word_embeddings"):
        yield "output.weight", (hidden, vocabulary)
    for layer in range(text["num_hidden_layers"]):
        block = f"blk.{layer}."
        interval = text.get("full_attention_interval", 1)
        if text.get("kv_lora_rank"):
            parts = _latent(text)
        elif (layer + 1) % interval:
            parts = _gated_delta(text)
        else:
            parts = _attention(text)
        for name, shape in (*parts, *_feed_forward(text, layer)):
            yield f"{block}{name}.weight", shape


def _attention(text: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    head = text.get("head_dim", hidden // heads)
    width, cached = heads * head, text["num_key_value_heads"] * head
    if text["model_type"] == "phi3":
        return [("attn_norm", (hidden,)), ("attn_qkv", (hidden, width + 2 * cached)), ("attn_output", (width, hidden))]
    asked = width * (2 if text.get("linear_num_value_heads") else 1)  # with a gate for each head
    return [
        ("attn_norm", (hidden,)), ("attn_q", (hidden, asked)), ("attn_k", (hidden, cached)),
        ("attn_v", (hidden, cached)), ("attn_output", (width, hidden)),
    ]  # fmt: skip


def _gated_delta(text: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    hidden, heads = text["hidden_size"], text["linear_num_value_heads"]
    keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    values = heads * text["linear_value_head_dim"]
    return [
        ("attn_norm", (hidden,)), ("attn_qkv", (hidden, 2 * keys + values)), ("attn_gate", (hidden, values)),
        ("ssm_alpha", (hidden, heads)), ("ssm_beta", (hidden, heads)), ("ssm_out", (values, hidden)),
        ("ssm_conv1d", (text["linear_conv_kernel_dim"], 2 * keys + values)),
    ]  # fmt: skip


def _latent(text: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    hidden, heads, rank = text["hidden_size"], text["num_attention_heads"], text["kv_lora_rank"]
    rope, nope = text["qk_rope_head_dim"], text["qk_nope_head_dim"]
    value, asking = text["v_head_dim"], text["q_lora_rank"]
    return [
        ("attn_norm", (hidden,)), ("attn_q_a", (hidden, asking)), ("attn_q_b", (asking, heads * (nope + rope))),
        ("attn_kv_a_mqa", (hidden, rank + rope)), ("attn_k_b", (nope, rank, heads)), ("attn_v_b", (rank, value, heads)),
        ("attn_output", (heads * value, hidden)),
    ]  # fmt: skip


def _feed_forward(text: Mapping[str, Any], layer: int) -> list[tuple[str, tuple[int, ...]]]:
    hidden, wide = text["hidden_size"], text.get("intermediate_size", 0)
    count = text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts") or 0
    if not count or layer < text.get("first_k_dense_replace", 0):
        if text["model_type"] == "phi3":
            return [("ffn_norm", (hidden,)), ("ffn_up", (hidden, 2 * wide)), ("ffn_down", (wide, hidden))]
        return [
            ("ffn_norm", (hidden,)),
            ("ffn_gate", (hidden, wide)),
            ("ffn_up", (hidden, wide)),
            ("ffn_down", (wide, hidden)),
        ]
    narrow = text.get("moe_intermediate_size", wide)
    shared = text.get("shared_expert_intermediate_size") or text.get("n_shared_experts", 0) * narrow
    parts: list[tuple[str, tuple[int, ...]]] = [
        ("ffn_norm", (hidden,)), ("ffn_gate_inp", (hidden, count)), ("ffn_gate_exps", (hidden, narrow, count)),
        ("ffn_up_exps", (hidden, narrow, count)), ("ffn_down_exps", (narrow, hidden, count)),
    ]  # fmt: skip
    if shared:
        parts += [
            ("ffn_gate_shexp", (hidden, shared)),
            ("ffn_up_shexp", (hidden, shared)),
            ("ffn_down_shexp", (shared, hidden)),
        ]
    return parts
