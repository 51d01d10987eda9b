"""A generated model is small, and is metadata and tensors for `writer.write`; its layers are made of these parts.

Names and shapes are those that llama.cpp's `load_arch_tensors` asks for (src/models/*.cpp). Dimensions are odd ones, so
that a wrong formula shows in the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.sizing import writer

VOCABULARY = 512


@dataclass
class Generated:
    """A model to be written: its architecture, its metadata without the architecture's prefix, its tensors."""

    architecture: str
    metadata: dict[str, Any]
    tensors: dict[str, Sequence[int]] = field(default_factory=dict)
    vocabulary: int = VOCABULARY

    def write(self, folder: Path) -> Path:
        return writer.write(
            folder / f"{self.architecture}.gguf", self.architecture, self.metadata, self.tensors, self.vocabulary
        )


@dataclass(frozen=True)
class Shape:
    """The dimensions of a small transformer."""

    layers: int = 6
    width: int = 256
    heads: int = 8
    kv_heads: int = 2
    head: int = 64
    feed_forward: int = 384
    context: int = 32_768
    vocabulary: int = VOCABULARY


def base(architecture: str, shape: Shape, **metadata: Any) -> Generated:
    """Returns a model without layers."""
    known: dict[str, Any] = {
        "context_length": shape.context,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head,
        "attention.value_length": shape.head,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": shape.head,
        "vocab_size": shape.vocabulary,
    }
    known.update({key.replace("__", "."): value for key, value in metadata.items()})
    tensors = {"token_embd.weight": (shape.width, shape.vocabulary), "output_norm.weight": (shape.width,)}
    return Generated(
        architecture, {key: value for key, value in known.items() if value is not None}, tensors, shape.vocabulary
    )


def attention(model: Generated, layer: int, shape: Shape, *, norms: bool = False, **changes: int) -> None:
    """Adds projections of queries, keys and values; `changes` as fields of `Shape`, for one layer."""
    head, heads, kv_heads = (changes.get(name, getattr(shape, name)) for name in ("head", "heads", "kv_heads"))
    block = f"blk.{layer}."
    model.tensors |= {
        f"{block}attn_norm.weight": (shape.width,),
        f"{block}attn_q.weight": (shape.width, head * heads),
        f"{block}attn_k.weight": (shape.width, head * kv_heads),
        f"{block}attn_v.weight": (shape.width, head * kv_heads),
        f"{block}attn_output.weight": (head * heads, shape.width),
    }
    if norms:
        model.tensors |= {f"{block}attn_q_norm.weight": (head,), f"{block}attn_k_norm.weight": (head,)}


def feed_forward(model: Generated, layer: int, shape: Shape, *, norm: str = "ffn_norm") -> None:
    block = f"blk.{layer}."
    if norm:
        model.tensors[f"{block}{norm}.weight"] = (shape.width,)
    model.tensors |= {
        f"{block}ffn_gate.weight": (shape.width, shape.feed_forward),
        f"{block}ffn_up.weight": (shape.width, shape.feed_forward),
        f"{block}ffn_down.weight": (shape.feed_forward, shape.width),
    }


def experts(model: Generated, layer: int, shape: Shape, count: int, width: int, *, norm: str = "ffn_norm") -> None:
    block = f"blk.{layer}."
    if norm:
        model.tensors[f"{block}{norm}.weight"] = (shape.width,)
    model.tensors |= {
        f"{block}ffn_gate_inp.weight": (shape.width, count),
        f"{block}ffn_gate_exps.weight": (shape.width, width, count),
        f"{block}ffn_up_exps.weight": (shape.width, width, count),
        f"{block}ffn_down_exps.weight": (width, shape.width, count),
    }


def shared_expert(model: Generated, layer: int, shape: Shape, width: int) -> None:
    block = f"blk.{layer}."
    model.tensors |= {
        f"{block}ffn_gate_shexp.weight": (shape.width, width),
        f"{block}ffn_up_shexp.weight": (shape.width, width),
        f"{block}ffn_down_shexp.weight": (width, shape.width),
    }
