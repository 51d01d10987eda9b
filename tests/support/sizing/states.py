"""These are small models whose layers keep a state instead of a cache, some or all of them."""

from __future__ import annotations

from tests.support.sizing.generated import (
    Generated,
    Shape,
    attention,
    base,
    experts,
    feed_forward,
    shared_expert,
)


def gated_delta(architecture: str = "qwen35", nextn: int = 0) -> Generated:
    """Full attention in each fourth layer; the others keep a state of fixed size."""
    shape = Shape(layers=8 + nextn)
    conv, state, groups, rank = 4, 64, 2, 4
    inner = state * rank
    model = base(
        architecture, shape, ssm__conv_kernel=conv, ssm__inner_size=inner, ssm__state_size=state,
        ssm__time_step_rank=rank, ssm__group_count=groups, full_attention_interval=4,
        rope__dimension_sections=[11, 11, 10, 0],
    )  # fmt: skip
    if nextn:
        model.metadata["nextn_predict_layers"] = nextn
    count, width = 8, 64
    mixture = architecture in ("qwen35moe", "qwen3next")
    if mixture:
        model.metadata |= {
            "expert_count": count,
            "expert_used_count": 2,
            "expert_feed_forward_length": width,
            "expert_shared_feed_forward_length": width,
        }
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    for layer in range(shape.layers):
        block, extra = f"blk.{layer}.", layer >= 8
        if extra or (layer + 1) % 4 == 0:
            attention(model, layer, shape, norms=True)
            model.tensors[f"{block}attn_q.weight"] = (shape.width, 2 * shape.head * shape.heads)
        else:
            keys = state * groups
            model.tensors |= {
                f"{block}attn_norm.weight": (shape.width,),
                f"{block}attn_qkv.weight": (shape.width, 2 * keys + inner),
                f"{block}attn_gate.weight": (shape.width, inner),
                f"{block}ssm_conv1d.weight": (conv, 2 * keys + inner),
                f"{block}ssm_dt.bias": (rank,),
                f"{block}ssm_a": (rank,),
                f"{block}ssm_norm.weight": (state,),
                f"{block}ssm_out.weight": (inner, shape.width),
            }
            if architecture == "qwen3next":
                model.tensors[f"{block}ssm_ba.weight"] = (shape.width, 2 * rank)
            else:
                model.tensors[f"{block}ssm_beta.weight"] = (shape.width, rank)
                model.tensors[f"{block}ssm_alpha.weight"] = (shape.width, rank)
        model.tensors[f"{block}post_attention_norm.weight"] = (shape.width,)
        if mixture:
            experts(model, layer, shape, count, width, norm="")
            shared_expert(model, layer, shape, width)
            model.tensors[f"{block}ffn_gate_inp_shexp.weight"] = (shape.width,)
        else:
            feed_forward(model, layer, shape, norm="")
        if extra:
            model.tensors |= {
                f"{block}nextn.eh_proj.weight": (2 * shape.width, shape.width),
                f"{block}nextn.enorm.weight": (shape.width,),
                f"{block}nextn.hnorm.weight": (shape.width,),
            }
    return model


def mamba2() -> Generated:
    """No attention at all: a state in each layer."""
    shape = Shape(layers=4)
    conv, inner, state, heads, groups = 4, 512, 64, 8, 2
    model = base(
        "mamba2", shape, ssm__conv_kernel=conv, ssm__inner_size=inner, ssm__state_size=state,
        ssm__time_step_rank=heads, ssm__group_count=groups, feed_forward_length=0, attention__head_count=0,
        attention__head_count_kv=None,
    )  # fmt: skip
    model.tensors["output.weight"] = (shape.width, shape.vocabulary)
    mixed = inner + 2 * groups * state
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        model.tensors |= {
            f"{block}attn_norm.weight": (shape.width,),
            f"{block}ssm_in.weight": (shape.width, 2 * inner + 2 * groups * state + heads),
            f"{block}ssm_conv1d.weight": (conv, mixed),
            f"{block}ssm_conv1d.bias": (mixed,),
            f"{block}ssm_dt.bias": (heads,),
            f"{block}ssm_a": (1, heads),
            f"{block}ssm_d": (1, heads),
            f"{block}ssm_norm.weight": (inner // groups, groups),
            f"{block}ssm_out.weight": (inner, shape.width),
        }
    return model


def lfm2() -> Generated:
    """Short convolutions where a layer has no key-value heads."""
    kv_heads = [0, 0, 2, 0, 2, 0]
    shape = Shape(layers=len(kv_heads), head=32)
    model = base("lfm2", shape, attention__head_count_kv=kv_heads, shortconv__l_cache=3)
    model.tensors["token_embd_norm.weight"] = (shape.width,)
    del model.tensors["output_norm.weight"]
    for layer, heads in enumerate(kv_heads):
        block = f"blk.{layer}."
        if heads:
            attention(model, layer, shape, norms=True)
        else:
            model.tensors |= {
                f"{block}attn_norm.weight": (shape.width,),
                f"{block}shortconv.conv.weight": (3, shape.width),
                f"{block}shortconv.in_proj.weight": (shape.width, 3 * shape.width),
                f"{block}shortconv.out_proj.weight": (shape.width, shape.width),
            }
        feed_forward(model, layer, shape)
    return model
