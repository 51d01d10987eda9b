"""Attention tells which layers of an architecture look back how far, as llama.cpp has it (src/models/*.cpp).

A file says how long a window is; which layers have one is often known only to the program that runs the model. What no
table here names is reckoned as attention to everything, which is never too little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Windows:
    """Which layers have the window: of each `period` layers all but one, the last or (`full_first`) the first.

    `period` 1: none has; 0: all have. `window` overrides what the file says, which may say nothing.
    """

    period: int
    full_first: bool = False
    window: int = 0


#: Architectures whose windows llama.cpp keeps to. Those with an array in their files (gemma4, mimo2 …) need no entry.
WINDOWED: Mapping[str, Windows] = {
    "gemma2": Windows(2),
    "gemma3": Windows(6),
    "gemma3n": Windows(5),
    "gemma4": Windows(6),
    "gpt-oss": Windows(2),
    "cohere2": Windows(4),
    "cohere2moe": Windows(4),
    "llama4": Windows(4, window=8192),  # chunks, allocated like windows
    "exaone4": Windows(4),
    "exaone-moe": Windows(4),
    "olmo2": Windows(4),
    "smallthinker": Windows(4, full_first=True),
    "plamo3": Windows(8),
    "afmoe": Windows(4),
    "deepseek4": Windows(0),
    "mimo2": Windows(0),
    "step35": Windows(4, full_first=True),
    "laguna": Windows(4, full_first=True),
}
#: Every fourth layer attends to everything, the others keep a state (unless the file says another number).
INTERVALS: Mapping[str, int] = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
#: All layers keep a state and none a cache.
RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"})
#: A layer with no key-value heads keeps a state.
HYBRID_BY_HEADS = frozenset(
    {"jamba", "granitehybrid", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe", "plamo2", "kimi-linear"}
)
#: Each layer has both a cache and a state.
BOTH = frozenset({"falcon-h1"})
#: Keys and values share one latent vector, of which only the key is kept.
LATENT = frozenset(
    {"deepseek2", "deepseek2-ocr", "deepseek32", "glm-dsa", "minicpm3", "plm", "kimi-linear", "mistral4"}
)
#: Beside the latent key an indexer keeps one of its own, in the layers that choose what to attend to.
INDEXED = frozenset({"deepseek32", "glm-dsa"})
#: Old tokens are kept compressed, by a ratio for each layer; with this one an indexer chooses among them.
COMPRESSED = frozenset({"deepseek4"})
INDEXED_RATIO = 4
#: From this context on GLM-5's layers share indexers: the first two have one, then each fourth (src/models/glm-dsa.cpp).
SHARED_INDEXERS_FROM = 1_048_576
#: Encoders: they see a whole text at once and keep nothing.
ENCODERS = frozenset(
    {
        "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert",
        "gemma-embedding",
    }
)  # fmt: skip
#: Layers from this one on read the caches of earlier ones.
SHARED_FROM: Mapping[str, int] = {"gemma3n": 20}
#: Read and checked against a real server, or plain: no note is needed.
PLAIN = frozenset(
    {
        "llama", "mistral3", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe",
        "phi2", "phi3", "phimoe", "gemma", "glm4", "glm4moe", "granite", "granitemoe", "starcoder2", "falcon",
        "command-r", "olmo", "olmoe", "stablelm", "internlm2", "minicpm", "exaone", "nemotron", "smollm3",
        "ernie4_5", "ernie4_5-moe", "hunyuan-dense", "hunyuan-moe", "dots1", "bailingmoe", "bailingmoe2",
        "seed_oss", "apertus", "arcee", "deepseek", "gptneox", "gpt2", "bloom", "mpt", "minimax-m2", "deci",
        "dbrx", "grok", "orion", "baichuan", "xverse", "chatglm", "codeshell", "arctic", "refact", "starcoder",
    }
)  # fmt: skip


def is_known(architecture: str) -> bool:
    """Says whether the way in which an architecture keeps its caches is known."""
    tables: tuple[Mapping[str, object] | frozenset[str], ...] = (
        WINDOWED, COMPRESSED, INTERVALS, RECURRENT, HYBRID_BY_HEADS, BOTH, LATENT, ENCODERS, PLAIN,
    )  # fmt: skip
    return any(architecture in table for table in tables)


def indexers(architecture: str, context: int, said: Sequence[object] | None) -> list[bool] | None:
    """Returns which layers have an indexer of their own; None: all of them."""
    if said is not None:
        return [bool(value) for value in said]
    if architecture == "glm-dsa" and context >= SHARED_INDEXERS_FROM:
        return [layer < 2 or (layer - 2) % 4 == 0 for layer in range(1024)]
    return None


def windows(architecture: str, layers: int, window: int, pattern: int | Sequence[object] | None) -> list[int]:
    """Returns each layer's window; 0 for those that look back on everything.

    `pattern` is what the file says: one truth a layer, or a period. Architectures without an entry ignore the window, as
    llama.cpp does of Phi-3 and of Mistral 7B v0.1.
    """
    rule = WINDOWED.get(architecture)
    if rule is None:
        return [0] * layers
    window = window or rule.window
    if isinstance(pattern, Sequence):
        chosen = [bool(value) for value in pattern[:layers]]
        return [window if has else 0 for has in chosen + [False] * (layers - len(chosen))]
    return [window if _has_window(layer, pattern or rule.period, rule.full_first) else 0 for layer in range(layers)]


def _has_window(layer: int, period: int, full_first: bool) -> bool:
    if period == 0:
        return True
    return layer % period != 0 if full_first else layer % period < period - 1
