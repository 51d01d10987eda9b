"""The counting model is a llama-architecture GGUF in which every token k is followed by token k+1.

It answers any prompt with " 0000 0001 0002 ..." and continues a trailing assistant message exactly, so a gap, a repeat,
a restart or a truncation shows in the text itself. Real servers load it like any other model; it needs 30 MB and no
training.

It is a lookup model: each word is followed by the next one, the last word by the end of the sequence, and whatever an answer
may follow by the first word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from testbed.cluster.store import build_once, digest
from testbed.models import lookup
from testbed.models.lookup import (
    BOS,
    BYTES,
    CONTEXT_TOKENS,
    EOS,
    FEED_FORWARD,
    FIRST_WORD,
    HEAD_WIDTH,
    KV_HEADS,
    SPECIALS,
    byte_tokens,
    embedding_width,
)

__all__ = [
    "BOS", "BYTES", "CONTEXT_TOKENS", "EOS", "FEED_FORWARD", "FIRST_WORD", "HEAD_WIDTH", "KV_HEADS", "SPECIALS",
    "byte_tokens", "embedding_width",
]  # fmt: skip  # the files of the same model in other forms take them from here

NAME = "counting"
DEFAULT_WORDS = 1000
MOST_WORDS = 10_000  # a word has four digits

# Leaves a trailing assistant message open if no generation prompt is asked for, as a server does that continues an
# answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' and loop.last and not add_generation_prompt %}"
    "<|im_start|>assistant\n{{ message['content'] }}"
    "{% else %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def words(count: int) -> list[str]:
    """Returns the words that the model counts with, one token each: " 0000", " 0001" and so on."""
    return [f" {number:04d}" for number in range(count)]


def successors(count: int) -> list[tuple[int, int]]:
    """Returns which token follows which."""
    before_an_answer = [token for token in range(FIRST_WORD) if token != EOS]
    last = FIRST_WORD + count - 1
    counted = [(token, token + 1) for token in range(FIRST_WORD, last)]
    return [*((token, FIRST_WORD) for token in before_an_answer), *counted, (last, EOS)]


def matrices(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns embedding and output matrix, each vocabulary x width, float32."""
    return lookup.matrices(FIRST_WORD + count, successors(count))


def write(
    path: Path, count: int = DEFAULT_WORDS, attention: Mapping[str, np.ndarray] | None = None, split: int = 0
) -> None:
    """Writes the model of `count` words; the same count always gives the same bytes. The rest is as `lookup.write` has it."""
    if not 2 <= count <= MOST_WORDS:
        raise ValueError(f"a counting model has between 2 and {MOST_WORDS} words, not {count}")
    lookup.write(path, NAME, words(count), successors(count), CHAT_TEMPLATE, attention=attention, split=split)


def cached(count: int = DEFAULT_WORDS) -> Path:
    """Returns the model's file in the user's cache, written on first use."""
    sources = {"source": Path(__file__).read_bytes(), "lookup": Path(lookup.__file__).read_bytes()}
    key = digest({**sources, "words": str(count)})
    folder = build_once("models", NAME, key, lambda draft: write(draft / f"{NAME}.gguf", count))
    return folder / f"{NAME}.gguf"
