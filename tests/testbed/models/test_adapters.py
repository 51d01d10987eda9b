"""Adapters of the counting model: both forms hold the same change, which begins an answer elsewhere and changes no other word."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from testbed.models import adapters, counting

START = 7
COUNT = 20


def silu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1 + np.exp(-x)))


def next_token(token: int) -> int:
    """What the counting model with the adapter says after one token."""
    embedding, output = counting.matrices(COUNT)
    change = {name: b @ a for name, (a, b) in adapters.parts(START, count=COUNT).items()}
    hidden = embedding[token]
    normal = hidden / np.sqrt(np.mean(hidden**2) + 1e-5)
    hidden = hidden + change["down"] @ (silu(change["gate"] @ normal) * (change["up"] @ normal))
    return int(np.argmax(output @ hidden))


def test_an_answer_begins_at_its_word_and_counts_on() -> None:
    first = counting.FIRST_WORD
    assert next_token(ord("?")) == first + START
    assert [next_token(first + word) for word in range(COUNT - 1)] == [first + word + 1 for word in range(COUNT - 1)]


@pytest.mark.parametrize("start", [0, COUNT])
def test_a_beginning_that_the_model_has_not_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match="begins at 1 to 19"):
        adapters.parts(start, count=COUNT)


def test_both_forms_hold_the_same(tmp_path: Path) -> None:
    adapters.write_gguf(tmp_path / "a.gguf", START)
    adapters.write_peft(tmp_path, START)
    of_gguf = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "a.gguf").tensors}
    of_peft = load_file(tmp_path / "adapter_model.safetensors")
    for name in ("gate", "up", "down"):
        prefix = f"base_model.model.model.layers.0.mlp.{name}_proj"
        change = of_gguf[f"blk.0.ffn_{name}.weight.lora_b"] @ of_gguf[f"blk.0.ffn_{name}.weight.lora_a"]
        assert np.array_equal(change, of_peft[f"{prefix}.lora_B.weight"] @ of_peft[f"{prefix}.lora_A.weight"])
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == adapters.PEFT_RANK
    assert (tmp_path / "adapter_model.safetensors").stat().st_mode & 0o044, "another user has to read it"
