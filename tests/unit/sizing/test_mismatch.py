"""What a server refuses of a model is told from the header, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from genset.sizing import hf_model
from genset.sizing.kv_cache import ModelUse
from genset.sizing.mismatch import Serving, problems, tensor_problem
from genset.sizing.model import Task
from tests.support.sizing import families


@pytest.mark.parametrize(
    ("config", "gpus", "words"),
    [
        (families.LLAMA31_8B, 3, "3 GPUs do not divide 32 attention heads: use 1, 2, 4, 8, 16"),
        (families.PHI4, 4, "10 key-value heads cannot be shared out to 4 GPUs: use 1, 2, 5, 10"),
        (families.PHI4_MINI, 6, "8 key-value heads cannot be shared out to 6 GPUs: use 1, 2, 4, 8"),
        (families.QWEN35_397B, 8, ""),  # two heads, each kept four times
        (families.GEMMA3_1B, 4, ""),
        (families.GEMMA3_1B, 8, "8 GPUs do not divide 4 attention heads"),
        (families.DEEPSEEK_V3, 16, ""),  # latent: every GPU has all of it
        (families.DEEPSEEK_V3, 3, "3 GPUs do not divide 128 attention heads"),
        (families.DEEPSEEK_V4_FLASH, 6, "6 GPUs do not divide 64 attention heads"),
        (families.KIMI_K2, 8, ""),
        (families.DEEPSEEK_V4_FLASH, 3, "3 GPUs do not divide 64 attention heads: use 1, 2, 4, 8, 16"),  # vllm#52435
        (families.GEMMA3_27B, 3, "3 GPUs do not divide 32 attention heads"),  # gpustack#2259 started it all the same
        (families.LLAMA4_SCOUT, 16, "16 GPUs do not divide 40 attention heads"),
    ],
)
def test_layers_are_split_where_heads_divide(config: dict[str, Any], gpus: int, words: str) -> None:
    found = tensor_problem(hf_model.from_config(config), gpus)
    assert found.startswith(words) and bool(found) == bool(words)


@pytest.mark.parametrize(
    ("config", "serving", "words"),
    [
        (
            families.PHI4,
            {"use": ModelUse(32_768), "pooled": True},
            "context.tokens is 32768, and the model was made for 16384",
        ),
        (families.PHI4, {"use": ModelUse(32_768), "pooled": True, "stretched": True}, ""),
        (families.PHI4, {"use": ModelUse(32_768)}, ""),  # llama-server cuts requests off: a warning's business
        (families.PHI4, {"pooled": True, "pipeline": 41}, "40 layers cannot be split over 41 groups"),
        (
            families.BGE_M3,
            {"pooled": True},
            "architecture bert makes vectors and answers no chat: set task to Embeddings",
        ),
        (families.BGE_M3, {"pooled": True, "task": Task.EMBEDDINGS}, ""),
        (families.LLAMA31_8B, {"pooled": True, "task": Task.EMBEDDINGS}, ""),
        (families.PHI4, {"use": ModelUse(key_type="q8_0", value_type="q9")}, "cache type q9 is unknown"),
        (families.DEEPSEEK_V3, {"use": ModelUse(key_type="q8_0")}, "give both the same cache type"),
    ],
)
def test_what_a_server_refuses_is_told(config: dict[str, Any], serving: dict[str, Any], words: str) -> None:
    asked = Serving(**{"use": ModelUse(), **serving})
    found = "; ".join(problems(hf_model.from_config(config), asked))
    assert words in found and bool(found) == bool(words)


@pytest.mark.parametrize(
    ("rope", "reach"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
        ({"type": "dynamic", "factor": 2.0}, 81_920),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 40_960),
        ({"rope_type": "yarn", "factor": float("inf")}, 40_960),
        ({"rope_type": "yarn", "factor": True}, 40_960),
        ("text", 40_960),
    ],
)
def test_a_stretched_model_reaches_further(rope: Any, reach: int) -> None:
    config = {**families.LLAMA31_8B, "max_position_embeddings": 40_960, "rope_scaling": rope}
    assert hf_model.from_config(config).context == reach
