"""The counting model: what it answers follows from its matrices, and its bytes never change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np
import pytest

from testbed.models import counting

SHA256 = "680d551c95e55bd056a4d59bf0f755dd851e30d99f9849ab6e71c11575feb2d2"  # of 1000 words
COUNT = 20


def test_the_file_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    counting.write(tmp_path / "model.gguf")
    assert hashlib.sha256((tmp_path / "model.gguf").read_bytes()).hexdigest() == SHA256


def follower(token: int) -> int:
    """The token that the model finds most likely after this one, as its last layer computes it."""
    embedding, output = counting.matrices(COUNT)
    hidden = embedding[token] / np.sqrt(np.mean(embedding[token] ** 2))  # RMS norm; the layer before it adds nothing
    logits = output @ hidden
    best = int(logits.argmax())
    others = np.delete(logits, best)
    # exp(-15) beside every other token: sampling at any usual temperature gives the same answer as no sampling.
    assert logits[best] - others.max() > 15
    return best


def test_every_word_is_followed_by_the_next_one() -> None:
    first = counting.FIRST_WORD
    assert [follower(first + k) for k in range(COUNT - 1)] == [first + k + 1 for k in range(COUNT - 1)]


def test_the_last_word_ends_the_answer() -> None:
    assert follower(counting.FIRST_WORD + COUNT - 1) == counting.EOS


def test_whatever_the_prompt_ends_with_the_answer_begins_at_zero() -> None:
    before = [token for token in range(counting.FIRST_WORD) if token != counting.EOS]
    assert {follower(token) for token in before} == {counting.FIRST_WORD}


def test_the_file_says_what_servers_need_to_load_it(tmp_path: Path) -> None:
    counting.write(tmp_path / "model.gguf", COUNT)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert tokens is not None
    assert tokens.contents()[counting.FIRST_WORD : counting.FIRST_WORD + 2] == [" 0000", " 0001"]
    assert len(set(tokens.contents())) == counting.FIRST_WORD + COUNT
    heads, kv_heads = (reader.get_field(f"llama.attention.head_count{suffix}") for suffix in ("", "_kv"))
    assert heads is not None
    assert kv_heads is not None
    assert heads.contents() % kv_heads.contents() == 0


@pytest.mark.parametrize("count", [1, 10_001])
def test_a_count_that_its_words_cannot_write_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="between 2 and 10000 words"):
        counting.write(tmp_path / "model.gguf", count)
