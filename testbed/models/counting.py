"""The counting model is a llama-architecture GGUF in which every token k is followed by token k+1.

It answers any prompt with " 0000 0001 0002 ..." and continues a trailing assistant message exactly, so a gap, a repeat,
a restart or a truncation shows in the text itself. Real servers load it like any other model; it needs 30 MB and no
training.

How it counts: attention and feed-forward weights are zero, so a token's embedding reaches the output layer unchanged.
Each token's embedding is a direction of its own (a unit vector); the output row of word k+1 points in the direction of
word k, the row of the first word points in the directions of all bytes and special tokens, and the end-of-sequence row
in that of the last word. The vectors are unit vectors rather than random ones, so that the file has the same bytes on
every machine.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from testbed.cluster.store import build_once, digest

NAME = "counting"
DEFAULT_WORDS = 1000
MOST_WORDS = 10_000  # a word has four digits
CONTEXT_TOKENS = 32_768
BYTES = 256
SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")
BOS, EOS = BYTES, BYTES + 1
FIRST_WORD = BYTES + len(SPECIALS)
HEAD_WIDTH = 64
KV_HEADS = 4
FEED_FORWARD = 64

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


def words(count: int) -> list[str]:
    """Returns the words that the model counts with, one token each: " 0000", " 0001" and so on."""
    return [f" {number:04d}" for number in range(count)]


def embedding_width(vocabulary: int) -> int:
    """Returns a width with at least one direction per token, in whole groups of query heads per key-value head."""
    group = HEAD_WIDTH * KV_HEADS
    return -(-vocabulary // group) * group


def matrices(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns embedding and output matrix, each vocabulary x width, float32."""
    vocabulary = FIRST_WORD + count
    embedding = np.eye(vocabulary, embedding_width(vocabulary), dtype=np.float32)
    output = np.zeros_like(embedding)
    output[FIRST_WORD + 1 :] = embedding[FIRST_WORD:-1]
    before_an_answer = [token for token in range(FIRST_WORD) if token != EOS]
    output[FIRST_WORD] = embedding[before_an_answer].sum(axis=0)
    output[EOS] = embedding[-1]
    return embedding, output


def write(path: Path, count: int = DEFAULT_WORDS) -> None:
    """Writes the model of `count` words; the same count always gives the same bytes."""
    if not 2 <= count <= MOST_WORDS:
        raise ValueError(f"a counting model has between 2 and {MOST_WORDS} words, not {count}")
    embedding, output = matrices(count)
    vocabulary, width = embedding.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(width // HEAD_WIDTH)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    _add_tokenizer(writer, count)
    _add_tensors(writer, embedding, output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, count: int) -> None:
    normal, control, user_defined = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*byte_tokens(), *SPECIALS, *words(count)])
    writer.add_token_types([normal] * BYTES + [control] * len(SPECIALS) + [user_defined] * count)
    writer.add_token_merges(["Ġ t"])  # a vocabulary without any merge is refused; this merge makes no token
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_tensors(writer: gguf.GGUFWriter, embedding: np.ndarray, output: np.ndarray) -> None:
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
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, dtype=np.float32))


def cached(count: int = DEFAULT_WORDS) -> Path:
    """Returns the model's file in the user's cache, written on first use."""
    key = digest({"source": Path(__file__).read_bytes(), "words": str(count)})
    folder = build_once("models", NAME, key, lambda draft: write(draft / f"{NAME}.gguf", count))
    return folder / f"{NAME}.gguf"
