"""These are small models of every attention kind that llama.cpp has; those with states stand in `states`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.sizing.generated import (
    Generated,
    Shape,
    attention,
    base,
    experts,
    feed_forward,
    shared_expert,
)

SMALL = Shape()
ENCODER = Shape(layers=2, kv_heads=8, head=32)


def plain(shape: Shape = SMALL, architecture: str = "llama", **metadata: Any) -> Generated:
    model = base(architecture, shape, **metadata)
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        feed_forward(model, layer, shape)
    return model


def multi_head() -> Generated:
    return plain(Shape(kv_heads=8))


def grouped() -> Generated:
    return plain(Shape(layers=5, kv_heads=2, heads=6, head=96))


def phi3() -> Generated:
    shape = Shape(head=32, kv_heads=8)
    model = base("phi3", shape, attention__sliding_window=2047, rope__scaling__original_context_length=4096)
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        model.tensors |= {
            f"{block}attn_norm.weight": (shape.width,),
            f"{block}attn_qkv.weight": (shape.width, shape.width + 2 * shape.head * shape.kv_heads),
            f"{block}attn_output.weight": (shape.width, shape.width),
            f"{block}ffn_norm.weight": (shape.width,),
            f"{block}ffn_up.weight": (shape.width, 2 * shape.feed_forward),
            f"{block}ffn_down.weight": (shape.feed_forward, shape.width),
        }
    return model


def gemma2() -> Generated:
    shape = Shape(layers=7, kv_heads=4)
    model = base("gemma2", shape, attention__sliding_window=512)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        feed_forward(model, layer, shape)
        model.tensors |= {
            f"blk.{layer}.post_attention_norm.weight": (shape.width,),
            f"blk.{layer}.post_ffw_norm.weight": (shape.width,),
        }
    return model


def gemma3() -> Generated:
    shape = Shape(layers=14, kv_heads=2)
    model = base("gemma3", shape, attention__sliding_window=512)
    for layer in range(shape.layers):
        attention(model, layer, shape, norms=True)
        feed_forward(model, layer, shape)
        model.tensors |= {
            f"blk.{layer}.post_attention_norm.weight": (shape.width,),
            f"blk.{layer}.post_ffw_norm.weight": (shape.width,),
        }
    return model


def gemma4() -> Generated:
    """Windows by an array, wider heads in full layers, and the last two layers without a cache of their own."""
    windows = [True, True, False, True, True, False, True, False]
    shape = Shape(layers=len(windows), head=128)
    model = base(
        "gemma4", shape,
        attention__sliding_window=512, attention__sliding_window_pattern=windows, attention__shared_kv_layers=2,
        attention__key_length_swa=64, attention__value_length_swa=64, embedding_length_per_layer_input=0,
        attention__head_count_kv=[4 if window else 2 for window in windows], rope__dimension_count_swa=64,
    )  # fmt: skip
    model.tensors["rope_freqs.weight"] = (shape.head // 2,)
    for layer, window in enumerate(windows):
        attention(model, layer, shape, norms=True, head=64 if window else 128, kv_heads=4 if window else 2)
        feed_forward(model, layer, shape)
        model.tensors |= {
            f"blk.{layer}.post_attention_norm.weight": (shape.width,),
            f"blk.{layer}.post_ffw_norm.weight": (shape.width,),
        }
    return model


def gpt_oss() -> Generated:
    shape = Shape(layers=6, kv_heads=2, feed_forward=128)
    count = 8
    model = base(
        "gpt-oss", shape, attention__sliding_window=128, expert_count=count, expert_used_count=4,
        expert_feed_forward_length=shape.feed_forward,
    )  # fmt: skip
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        experts(model, layer, shape, count, shape.feed_forward, norm="post_attention_norm")
        block = f"blk.{layer}."
        model.tensors |= {
            f"{block}attn_q.bias": (shape.head * shape.heads,),
            f"{block}attn_k.bias": (shape.head * shape.kv_heads,),
            f"{block}attn_v.bias": (shape.head * shape.kv_heads,),
            f"{block}attn_output.bias": (shape.width,),
            f"{block}attn_sinks.weight": (shape.heads,),
            f"{block}ffn_gate_inp.bias": (count,),
            f"{block}ffn_gate_exps.bias": (shape.feed_forward, count),
            f"{block}ffn_up_exps.bias": (shape.feed_forward, count),
            f"{block}ffn_down_exps.bias": (shape.width, count),
        }
    return model


def deepseek2(*, latent: bool = True, nextn: int = 0) -> Generated:
    """Multi-head latent attention: one key of rank 128 + 64 a token, and no value."""
    rank, rope, nope, value = 128, 64, 64, 64
    shape = Shape(layers=5, heads=4, kv_heads=1 if latent else 4)
    count, width = 8, 64
    extra: dict[str, Any] = {}
    if latent:
        extra = {"attention.key_length_mla": nope + rope, "attention.value_length_mla": value}
    model = base("deepseek2", shape)
    model.metadata |= extra | {
        "attention.key_length": rank + rope if latent else nope + rope,
        "attention.value_length": rank if latent else value,
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": 96,
        "rope.dimension_count": rope,
        "leading_dense_block_count": 1,
        "expert_count": count,
        "expert_used_count": 2,
        "expert_shared_count": 1,
        "expert_feed_forward_length": width,
        "expert_weights_scale": 2.5,
        "expert_gating_func": 2,
    }
    if nextn:
        model.metadata["nextn_predict_layers"] = nextn
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        model.tensors |= {
            f"{block}attn_norm.weight": (shape.width,),
            f"{block}attn_q_a.weight": (shape.width, 96),
            f"{block}attn_q_a_norm.weight": (96,),
            f"{block}attn_q_b.weight": (96, shape.heads * (nope + rope)),
            f"{block}attn_kv_a_mqa.weight": (shape.width, rank + rope),
            f"{block}attn_kv_a_norm.weight": (rank,),
            f"{block}attn_output.weight": (shape.heads * value, shape.width),
        }
        if latent:
            model.tensors[f"{block}attn_k_b.weight"] = (nope, rank, shape.heads)
            model.tensors[f"{block}attn_v_b.weight"] = (rank, value, shape.heads)
        else:
            model.tensors[f"{block}attn_kv_b.weight"] = (rank, shape.heads * (nope + value))
        if layer == 0:
            feed_forward(model, layer, shape)
        else:
            experts(model, layer, shape, count, width)
            shared_expert(model, layer, shape, width)
    return model


def llama4() -> Generated:
    """Chunks of 8,192 tokens in three of four layers, which are allocated like windows."""
    shape = Shape(layers=4, heads=4, kv_heads=2)
    count, width = 4, 64
    model = base(
        "llama4", shape, expert_count=count, expert_used_count=1, expert_feed_forward_length=width,
        interleave_moe_layer_step=1,
    )  # fmt: skip
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        experts(model, layer, shape, count, width)
        shared_expert(model, layer, shape, width)
    return model


def indexed(types: Sequence[int] | None = None) -> Generated:
    """GLM-5: latent attention, with an indexer's keys beside it."""
    model = deepseek2()
    model.architecture = "glm-dsa"
    width = int(model.metadata["embedding_length"])
    model.metadata |= {
        "attention.indexer.head_count": 2,
        "attention.indexer.key_length": 128,
        "attention.indexer.top_k": 64,
    }
    if types is not None:
        model.metadata["attention.indexer.types"] = list(types)
    for layer in range(int(model.metadata["block_count"])):
        block = f"blk.{layer}.indexer."
        model.tensors |= {
            f"{block}k_norm.weight": (128,),
            f"{block}k_norm.bias": (128,),
            f"{block}proj.weight": (width, 2),
            f"{block}attn_k.weight": (width, 128),
            f"{block}attn_q_b.weight": (96, 2 * 128),
        }
    return model


def cohere2() -> Generated:
    shape = Shape(layers=8, head=32)
    model = base("cohere2", shape, attention__sliding_window=600, logit_scale=0.25, attention__layer_norm_epsilon=1e-5)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        feed_forward(model, layer, shape, norm="")
    return model


def olmo2() -> Generated:
    shape = Shape(layers=8, head=32)
    model = base("olmo2", shape, attention__sliding_window=700)
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        attention(model, layer, shape)
        feed_forward(model, layer, shape, norm="")
        block = f"blk.{layer}."
        del model.tensors[f"{block}attn_norm.weight"]
        model.tensors |= {
            f"{block}attn_q_norm.weight": (shape.head * shape.heads,),
            f"{block}attn_k_norm.weight": (shape.head * shape.kv_heads,),
            f"{block}post_attention_norm.weight": (shape.width,),
            f"{block}post_ffw_norm.weight": (shape.width,),
        }
    return model


def deepseek4() -> Generated:
    """DeepSeek V4: a window in each layer, and old tokens compressed 4 or 128 to one."""
    ratios = [0, 4, 128, 4]
    shape = Shape(layers=len(ratios), width=256, heads=4, kv_heads=1, head=128)
    rank, groups, out_rank, mult, count, width, index = 96, 2, 64, 4, 8, 64, 64
    model = base(
        "deepseek4", shape, attention__sliding_window=128, attention__q_lora_rank=rank, expert_count=count,
        expert_used_count=2, expert_feed_forward_length=width, expert_shared_count=1, expert_weights_scale=1.5,
        expert_weights_norm=True, expert_gating_func=4, swiglu_clamp_exp=[10.0] * len(ratios),
        attention__indexer__head_count=2, attention__indexer__key_length=index, attention__indexer__top_k=64,
        attention__output_group_count=groups, attention__output_lora_rank=out_rank,
        attention__compress_rope_freq_base=10_000.0, attention__compress_ratios=ratios, hyper_connection__count=mult,
        hyper_connection__sinkhorn_iterations=2, hyper_connection__epsilon=1e-6, hash_layer_count=0,
        rope__dimension_count=64,
    )  # fmt: skip
    mixed, mix = mult * shape.width, (2 + mult) * mult
    model.tensors |= {
        "output.weight": (shape.width, shape.vocabulary),
        "output_hc_fn.weight": (mixed, mult),
        "output_hc_base.weight": (mult,),
        "output_hc_scale.weight": (1,),
    }
    for layer, ratio in enumerate(ratios):
        block = f"blk.{layer}."
        model.tensors |= {
            f"{block}attn_norm.weight": (shape.width,),
            f"{block}attn_sinks.weight": (shape.heads,),
            f"{block}attn_q_a.weight": (shape.width, rank),
            f"{block}attn_q_a_norm.weight": (rank,),
            f"{block}attn_q_b.weight": (rank, shape.heads * shape.head),
            f"{block}attn_kv.weight": (shape.width, shape.head),
            f"{block}attn_kv_a_norm.weight": (shape.head,),
            f"{block}attn_output_a.weight": (shape.heads * shape.head // groups, out_rank * groups),
            f"{block}attn_output_b.weight": (groups * out_rank, shape.width),
            f"{block}exp_probs_b.bias": (count,),
        }
        for part in ("attn", "ffn"):
            model.tensors |= {
                f"{block}hc_{part}_fn.weight": (mixed, mix),
                f"{block}hc_{part}_base.weight": (mix,),
                f"{block}hc_{part}_scale.weight": (3,),
            }
        if ratio:
            twice = 2 if ratio == 4 else 1
            model.tensors |= {
                f"{block}attn_compressor_kv.weight": (shape.width, twice * shape.head),
                f"{block}attn_compressor_gate.weight": (shape.width, twice * shape.head),
                f"{block}attn_compressor_ape.weight": (twice * shape.head, ratio),
                f"{block}attn_compressor_norm.weight": (shape.head,),
            }
        if ratio == 4:
            model.tensors |= {
                f"{block}indexer.proj.weight": (shape.width, 2),
                f"{block}indexer.attn_q_b.weight": (rank, 2 * index),
                f"{block}indexer_compressor_kv.weight": (shape.width, 2 * index),
                f"{block}indexer_compressor_gate.weight": (shape.width, 2 * index),
                f"{block}indexer_compressor_ape.weight": (2 * index, ratio),
                f"{block}indexer_compressor_norm.weight": (index,),
            }
        experts(model, layer, shape, count, width)
        shared_expert(model, layer, shape, width)
    return model


def bert(shape: Shape = ENCODER) -> Generated:
    """An encoder as BGE-M3 is one: every token sees every other, and nothing is cached."""
    model = base(
        "bert",
        shape,
        attention__causal=False,
        attention__layer_norm_epsilon=1e-5,
        attention__layer_norm_rms_epsilon=None,
        pooling_type=2,
        tokenizer__ggml__token_type_count=2,
    )
    model.tensors = {
        "token_embd.weight": (shape.width, shape.vocabulary),
        "token_types.weight": (shape.width, 2),
        "position_embd.weight": (shape.width, shape.context),
        "token_embd_norm.weight": (shape.width,),
        "token_embd_norm.bias": (shape.width,),
    }
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name, out in (
            ("attn_q", 0),
            ("attn_k", 0),
            ("attn_v", 0),
            ("attn_output", 0),
            ("ffn_up", shape.feed_forward),
        ):
            model.tensors |= {
                f"{block}{name}.weight": (shape.width, out or shape.width),
                f"{block}{name}.bias": (out or shape.width,),
            }
        model.tensors |= {
            f"{block}ffn_down.weight": (shape.feed_forward, shape.width),
            f"{block}ffn_down.bias": (shape.width,),
        }
        for name in ("attn_output_norm", "layer_output_norm"):
            model.tensors |= {f"{block}{name}.weight": (shape.width,), f"{block}{name}.bias": (shape.width,)}
    return model
