"""Numbers of parameters follow from a config.json, part by part, as the modelling code of transformers lays them out.

Norms, biases and rotary tables are left out: they are less than a thousandth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genset.sizing.model import Experts, ModelError, integer

MOST_LAYERS = 1024
_MOST = 2**24  # of any width or count in a configuration
#: `model_type`s whose feed-forward blocks have two matrices instead of three.
_UNGATED = frozenset(
    {"bert", "xlm-roberta", "roberta", "gpt2", "gpt_neox", "phi", "starcoder2", "falcon", "bloom", "nemotron", "mpt"}
)
_GEMMA4_PATTERN, _GEMMA4_HEAD = (
    6,
    512,
)  # every sixth layer looks back on everything, with wider heads, where nothing else is said
FULL, WINDOW, LINEAR = "full", "window", "linear"


@dataclass(frozen=True)
class LayerParameters:
    """Parameters of one layer: those that each token uses, and those of all experts to choose from."""

    always: int
    experts: int


class Config:
    """A configuration answers by the several names that families give to one number."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.layers = self.number("num_hidden_layers", "n_layer", "num_layers", most=MOST_LAYERS)
        self.hidden = self.number("hidden_size", "n_embd", "d_model")
        self.heads = self.number("num_attention_heads", "n_head", most=65_536)
        if not (self.layers and self.hidden and self.heads):
            raise ModelError("config.json names no num_hidden_layers, hidden_size and num_attention_heads")
        self.kv_heads = self.number("num_key_value_heads", "num_kv_heads", default=self.heads, most=65_536)
        self.head = self.number("head_dim", default=self.hidden // self.heads)
        self.feed_forward = self.number(
            "intermediate_size_mlp", "intermediate_size", "n_inner", default=4 * self.hidden
        )
        self.latent = self.number("kv_lora_rank")

    def number(self, *names: str, default: int = 0, most: int = _MOST) -> int:
        """Returns the first of some keys that holds a whole number."""
        return integer(self.values, *names, default=default, most=most)

    @property
    def vocabulary(self) -> int:
        """Returns how many tokens there are."""
        return self.number("vocab_size")

    @property
    def experts(self) -> Experts:
        """Returns the mixture; zeros if there is none."""
        count = self.number("n_routed_experts", "num_experts", "num_local_experts", most=65_536)
        if count <= 1:
            return Experts()
        used = self.number("num_experts_per_tok", "experts_per_token", "moe_topk", "moe_k", "top_k_experts", most=count)
        return Experts(
            count, used or 1, self.number("moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
        )

    def has_experts(self, layer: int) -> bool:
        """Says whether a layer is a mixture; some have dense layers first, or in between."""
        if not self.experts.count or layer < self.number("first_k_dense_replace"):
            return False
        if self.is_gemma4 and self.values.get("enable_moe_block") is not True:
            return False
        dense = self.values.get("mlp_only_layers")
        if isinstance(dense, list) and layer in dense:
            return False
        step = self.number("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", default=1) or 1
        return (layer + 1) % step == 0 if step > 1 else True

    def attention_kind(self, layer: int) -> str:
        """Returns whether a layer looks back on everything, on a window, or keeps a state."""
        types = self.values.get("layer_types") or self.values.get("layers_block_type")
        if isinstance(types, list) and layer < len(types):
            word = str(types[layer])
            if "linear" in word or word in ("mamba", "recurrent", "conv"):
                return LINEAR
            return WINDOW if "sliding" in word or "chunked" in word else FULL
        if self.is_gemma4:
            return WINDOW if (layer + 1) % _GEMMA4_PATTERN and layer + 1 < self.layers else FULL
        if self.number("linear_num_value_heads"):
            interval = self.number("full_attention_interval", default=4) or 1
            return FULL if (layer + 1) % interval == 0 else LINEAR
        return FULL

    @property
    def is_gemma4(self) -> bool:
        """Says whether layers that look back on everything have heads of their own (transformers, configuration_gemma4.py)."""
        return str(self.values.get("model_type", "")).startswith("gemma4")

    def cached_heads(self, layer: int) -> tuple[int, int]:
        """Returns how many heads of keys a layer has, and how wide each is."""
        several = self.values.get("per_layer_config")
        own = several.get(str(layer)) if isinstance(several, Mapping) else None
        if isinstance(own, Mapping):
            count = integer(own, "num_key_value_heads", default=self.kv_heads, most=65_536)
            return count, integer(own, "head_dim", default=self.head, most=_MOST)
        if not self.is_gemma4 or self.attention_kind(layer) != FULL:
            return self.kv_heads, self.head
        count = self.number("num_global_key_value_heads", most=65_536) if self._keys_are_values(layer) else 0
        return count or self.kv_heads, self.number("global_head_dim", default=_GEMMA4_HEAD)

    def shares_cache(self, layer: int) -> bool:
        """Says whether a layer reads an earlier one's cache and has none (Gemma 3n, Gemma 4)."""
        return layer >= self.layers - self.number("num_kv_shared_layers", most=self.layers - 1)

    @property
    def per_layer_table(self) -> int:
        """Returns the parameters of the table that gives each layer an input of its own for each token (Gemma 3n, Gemma 4)."""
        rows = self.number("vocab_size_per_layer_input", default=self.vocabulary)
        return rows * self.layers * self.number("hidden_size_per_layer_input")

    def layer(self, number: int) -> LayerParameters:
        """Returns the parameters of a layer."""
        mixer = self._linear() if self.attention_kind(number) == LINEAR else self._attention(number)
        mixer += (
            3 * self.hidden * self.number("hidden_size_per_layer_input")
        )  # into, out of, and for the layer's own input
        wide = self.feed_forward
        if self.values.get("use_double_wide_mlp") is True and self.shares_cache(number):
            wide *= 2
        matrices = 2 if str(self.values.get("model_type")) in _UNGATED else 3
        if not self.has_experts(number):
            return LayerParameters(mixer + matrices * self.hidden * wide, 0)
        if self.values.get("enable_moe_block") is True:  # beside the dense block, not in its place
            mixer += matrices * self.hidden * wide
        experts = self.experts
        shared = self.number("shared_expert_intermediate_size")
        if not shared:
            shared = self.number("n_shared_experts", "num_shared_experts") * experts.width
        if str(self.values.get("model_type", "")).startswith("llama4"):
            shared = experts.width
        always = mixer + 3 * self.hidden * shared + self.hidden * experts.count
        return LayerParameters(always, experts.count * 3 * self.hidden * experts.width)

    def _keys_are_values(self, layer: int) -> bool:
        return self.is_gemma4 and self.values.get("attention_k_eq_v") is True and self.attention_kind(layer) == FULL

    def _attention(self, layer: int) -> int:
        if self.latent:
            rope, nope = self.number("qk_rope_head_dim"), self.number("qk_nope_head_dim")
            value, rank = self.number("v_head_dim"), self.number("q_lora_rank")
            queries = self.heads * (nope + rope)
            asking = self.hidden * rank + rank * queries if rank else self.hidden * queries
            keys = self.hidden * (self.latent + rope) + self.latent * self.heads * (nope + value)
            return asking + keys + self.heads * value * self.hidden
        if self.number("o_lora_rank"):  # DeepSeek V4: one head of keys that are values, too; low ranks on both sides
            queries, rank = self.heads * self.head, self.number("q_lora_rank")
            out = queries * self.number("o_lora_rank")  # each group of heads has its own part
            back = self.number("o_groups", default=1) * self.number("o_lora_rank") * self.hidden
            return self.hidden * (rank + self.head) + rank * queries + out + back
        gate = 2 if self.number("linear_num_value_heads") else 1  # Qwen3-Next and 3.5 gate each head's answer
        count, head = self.cached_heads(layer)
        made = 0 if self.is_gemma4 and self.shares_cache(layer) else 1 if self._keys_are_values(layer) else 2
        width = self.heads * head
        return self.hidden * (gate * width + made * count * head) + width * self.hidden

    def _linear(self) -> int:
        keys = self.number("linear_num_key_heads") * self.number("linear_key_head_dim")
        heads = self.number("linear_num_value_heads")
        values = heads * self.number("linear_value_head_dim")
        kernel = self.number("linear_conv_kernel_dim")
        return self.hidden * (2 * keys + 2 * values + 2 * heads) + values * self.hidden + kernel * (2 * keys + values)
