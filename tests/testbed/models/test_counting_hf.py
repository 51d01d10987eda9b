"""The counting model as vLLM reads it: the same next words as the GGUF file, the same text in its vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from testbed.models import counting, counting_hf

WORDS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("counting")
    counting_hf.write(made, WORDS)
    return made


def next_token(tensors: dict[str, np.ndarray], token: int) -> int:
    """What a llama with these weights says after one token: attention and feed-forward add nothing."""
    hidden = tensors["model.embed_tokens.weight"][token]
    hidden = hidden / np.sqrt(np.mean(hidden**2) + 1e-5) * tensors["model.norm.weight"]
    return int(np.argmax(tensors["lm_head.weight"] @ hidden))


def test_it_counts(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    assert not any(value.any() for name, value in tensors.items() if "_proj" in name)
    first, last = counting.FIRST_WORD, counting.FIRST_WORD + WORDS - 1
    assert [next_token(tensors, token) for token in range(first, last)] == list(range(first + 1, last + 1))
    assert next_token(tensors, ord("?")) == first, "an answer begins with the first word"
    assert next_token(tensors, last) == counting.EOS


def test_its_shapes_are_those_that_the_configuration_tells(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    assert tensors["model.embed_tokens.weight"].shape == (config["vocab_size"], config["hidden_size"])
    heads = config["num_attention_heads"] * config["head_dim"]
    assert tensors["model.layers.0.self_attn.q_proj.weight"].shape == (heads, config["hidden_size"])
    assert tensors["model.layers.0.mlp.up_proj.weight"].shape[0] == config["intermediate_size"]


def test_its_tokens_have_the_numbers_of_the_other_file(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    assert added[counting.FIRST_WORD + 7]["content"] == " 0007"
    assert not added[counting.FIRST_WORD]["special"], "a special token would be left out of answers"
    assert added[counting.EOS]["content"] == "<|eos|>" and added[counting.EOS]["special"]
    assert len(tokenizer["model"]["vocab"]) == counting.BYTES
    told = json.loads((folder / "tokenizer_config.json").read_text())
    assert told["chat_template"] == counting.CHAT_TEMPLATE
