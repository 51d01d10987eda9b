"""The counting model also exists as a Hugging Face directory, for engines that read safetensors (vLLM).

It has the vocabulary, weights and chat template of the GGUF file (see `counting`), so that either engine continues what
the other one wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from testbed.cluster.store import build_once, digest
from testbed.models import counting
from testbed.models.counting import BOS, BYTES, CHAT_TEMPLATE, CONTEXT_TOKENS, EOS, FEED_FORWARD, HEAD_WIDTH, KV_HEADS

NAME = "counting-hf"
# Default base of the rotary frequencies; the attention's weights are zero, so positions do not matter.
ROPE_THETA = 10_000.0


def write(folder: Path, count: int = counting.DEFAULT_WORDS) -> None:
    """Writes the model of `count` words into an existing folder."""
    embedding, output = counting.matrices(count)
    vocabulary, width = embedding.shape
    weights = folder / "model.safetensors"
    save_file(_tensors(embedding, output), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes for its own user alone
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": 1,
        "num_attention_heads": width // HEAD_WIDTH,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_WIDTH,
        "max_position_embeddings": CONTEXT_TOKENS,
        "rope_theta": ROPE_THETA,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "torch_dtype": "float32",
    }
    bos, eos = counting.SPECIALS[:2]
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,  # it would remove the space before a word
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": CHAT_TEMPLATE,
    }
    for name, content in (
        ("config.json", config),
        ("tokenizer.json", _tokenizer(count)),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS}),
    ):
        (folder / name).write_text(json.dumps(content, indent=1))


def _tensors(embedding: np.ndarray, output: np.ndarray) -> dict[str, np.ndarray]:
    """Returns tensors by name, with shapes (rows = outputs) as transformers' LlamaForCausalLM has them."""
    width = embedding.shape[1]
    kv_width = KV_HEADS * HEAD_WIDTH
    ones = np.ones(width, dtype=np.float32)
    layer = "model.layers.0"
    zeros = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (kv_width, width),
        "self_attn.v_proj": (kv_width, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (FEED_FORWARD, width),
        "mlp.up_proj": (FEED_FORWARD, width),
        "mlp.down_proj": (width, FEED_FORWARD),
    }
    return {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": output,
        "model.norm.weight": ones,
        f"{layer}.input_layernorm.weight": ones,
        f"{layer}.post_attention_layernorm.weight": ones,
        **{f"{layer}.{name}.weight": np.zeros(shape, dtype=np.float32) for name, shape in zeros.items()},
    }


def _tokenizer(count: int) -> dict[str, Any]:
    """Returns tokenizer.json: byte-level BPE without merges; specials and words are added tokens, which match first."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    specials, words = counting.SPECIALS, counting.words(count)
    added = [
        {
            "id": BYTES + index,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": content in specials,
        }
        for index, content in enumerate((*specials, *words))
    ]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(counting.byte_tokens())},
            "merges": [],
        },
    }


def cached(count: int = counting.DEFAULT_WORDS) -> Path:
    """Returns the model's folder in the user's cache, written on first use."""
    sources = {"source": Path(__file__).read_bytes(), "weights": Path(counting.__file__).read_bytes()}
    return build_once("models", NAME, digest({**sources, "words": str(count)}), lambda draft: write(draft, count))
