"""A lookup model is a llama-architecture GGUF in which the next token depends on the last one alone.

Attention and feed-forward weights are zero, so a token's embedding, a unit vector of its own, reaches the output layer unchanged;
there the row of a token points in the directions of the tokens that it follows. Unit vectors rather than random ones, so that
a file has the same bytes on every machine. Real servers load it like any other model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

CONTEXT_TOKENS = 32_768
BYTES = 256
SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")
BOS, EOS = BYTES, BYTES + 1
FIRST_WORD = BYTES + len(SPECIALS)
HEAD_WIDTH = 64
KV_HEADS = 4
FEED_FORWARD = 64


def byte_tokens() -> list[str]:
    """Returns the 256 characters by which GPT-2's byte-level vocabulary writes the bytes 0 to 255.

    Printable Latin-1 characters stand for themselves; the others are moved, in order, to code points from 256 on
    (bytes_to_unicode in OpenAI's gpt-2, encoder.py).
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    tokens, moved = [], 0
    for byte in range(BYTES):
        if byte in printable:
            tokens.append(chr(byte))
        else:
            tokens.append(chr(BYTES + moved))
            moved += 1
    return tokens


def embedding_width(vocabulary: int) -> int:
    """Returns a width with at least one direction per token, in whole groups of query heads per key-value head."""
    group = HEAD_WIDTH * KV_HEADS
    return -(-vocabulary // group) * group


def matrices(vocabulary: int, successors: Iterable[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns embedding and output matrix, each vocabulary x width, float32. `successors`: (token, the one after it)."""
    embedding = np.eye(vocabulary, embedding_width(vocabulary), dtype=np.float32)
    output = np.zeros_like(embedding)
    for token, after in successors:
        output[after] += embedding[token]
    return embedding, output


def write(
    path: Path,
    name: str,
    words: Sequence[str],
    successors: Iterable[tuple[int, int]],
    template: str,
    context: int = CONTEXT_TOKENS,
    attention: Mapping[str, np.ndarray] | None = None,
    split: int = 0,
) -> None:
    """Writes a model whose vocabulary is the bytes, the specials and these words, one token each, from FIRST_WORD on.

    `attention` replaces matrices of zeros, e.g. attn_v. `split`: tensors of each file, for a model of several; they get the
    names that llama.cpp wants.
    """
    embedding, output = matrices(FIRST_WORD + len(words), successors)
    vocabulary, width = embedding.shape
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(width // HEAD_WIDTH)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    _add_tokenizer(writer, words, template)
    _add_tensors(writer, embedding, output, attention or {})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, words: Sequence[str], template: str) -> None:
    normal, control, user_defined = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*byte_tokens(), *SPECIALS, *words])
    writer.add_token_types([normal] * BYTES + [control] * len(SPECIALS) + [user_defined] * len(words))
    writer.add_token_merges(["Ġ t"])  # a vocabulary without any merge is refused; this merge makes no token
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _add_tensors(
    writer: gguf.GGUFWriter, embedding: np.ndarray, output: np.ndarray, attention: Mapping[str, np.ndarray]
) -> None:
    width = embedding.shape[1]
    ones = np.ones(width, dtype=np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", ones)
    kv_width = KV_HEADS * HEAD_WIDTH
    zeros = {  # rows, columns
        "attn_q": (width, width),
        "attn_k": (kv_width, width),
        "attn_v": (kv_width, width),
        "attn_output": (width, width),
        "ffn_gate": (FEED_FORWARD, width),
        "ffn_up": (FEED_FORWARD, width),
        "ffn_down": (width, FEED_FORWARD),
    }
    for name, shape in zeros.items():
        writer.add_tensor(f"blk.0.{name}.weight", attention.get(name, np.zeros(shape, dtype=np.float32)))
