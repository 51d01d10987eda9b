"""Public model families come out as they are: parameters, files, caches. Each was a public failure of some estimator."""

from __future__ import annotations

from typing import Any

import pytest

from genset.sizing import hf_model, kv_cache, vllm
from genset.sizing.classes import SizeClass, SpeedClass, count_text, size_class, speed_class
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts
from genset.sizing.quantisation import estimated_bytes
from tests.support.sizing import families

BILLION, GIB = 10**9, 2**30


def model(config: dict[str, Any]) -> ModelFacts:
    return hf_model.from_config(config)


@pytest.mark.parametrize(
    ("config", "total", "active", "size", "speed"),
    [
        (families.PHI3_MINI, 3.8, 3.8, SizeClass.SMALL, SpeedClass.FAST),
        (families.PHI4, 14.7, 14.7, SizeClass.SMALL, SpeedClass.MODERATE),
        (families.PHI4_MINI, 3.8, 3.8, SizeClass.SMALL, SpeedClass.FAST),
        (families.GEMMA2_9B, 9.2, 9.2, SizeClass.SMALL, SpeedClass.MODERATE),
        (families.GEMMA2_27B, 27.2, 27.2, SizeClass.MEDIUM, SpeedClass.SLOW),
        (families.GEMMA3_1B, 1.0, 1.0, SizeClass.SMALL, SpeedClass.FAST),
        (families.GEMMA3_12B, 11.8, 11.8, SizeClass.SMALL, SpeedClass.MODERATE),  # 12.2 with its vision tower
        (families.GEMMA3_27B, 27.0, 27.0, SizeClass.MEDIUM, SpeedClass.SLOW),  # 27.4 with it
        (families.GEMMA4_E2B, 4.63, 2.3, SizeClass.SMALL, SpeedClass.FAST),  # 5.1 with its towers; 2.3 are "effective"
        (families.GEMMA4_E4B, 7.46, 4.5, SizeClass.SMALL, SpeedClass.FAST),  # 8 with them
        (families.GEMMA4_12B, 11.9, 11.9, SizeClass.SMALL, SpeedClass.MODERATE),
        (families.GEMMA4_26B, 25.2, 3.8, SizeClass.MEDIUM, SpeedClass.FAST),
        (families.GEMMA4_31B, 30.7, 30.7, SizeClass.MEDIUM, SpeedClass.SLOW),
        (families.LLAMA31_8B, 8.03, 8.03, SizeClass.SMALL, SpeedClass.MODERATE),
        (families.MISTRAL_SMALL, 23.6, 23.6, SizeClass.MEDIUM, SpeedClass.SLOW),
        (families.QWEN35_9B, 9.0, 9.0, SizeClass.SMALL, SpeedClass.MODERATE),
        (families.QWEN35_27B, 27.0, 27.0, SizeClass.MEDIUM, SpeedClass.SLOW),
        (families.QWEN35_35B, 35.0, 3.45, SizeClass.MEDIUM, SpeedClass.FAST),  # 2.9 without the input table
        (families.QWEN35_397B, 397.0, 17.0, SizeClass.LARGE, SpeedClass.MODERATE),
        (families.GPT_OSS_20B, 20.9, 4.2, SizeClass.MEDIUM, SpeedClass.FAST),  # 3.6 without the input table
        (families.GPT_OSS_120B, 116.8, 5.7, SizeClass.LARGE, SpeedClass.MODERATE),  # 5.1 without it
        (families.DEEPSEEK_V3, 671.0, 37.0, SizeClass.LARGE, SpeedClass.SLOW),
        (families.KIMI_K2, 1026.0, 32.0, SizeClass.LARGE, SpeedClass.SLOW),
        (families.DEEPSEEK_V4_FLASH, 284.0, 13.0, SizeClass.LARGE, SpeedClass.MODERATE),
        (families.GLM52, 744.0, 40.0, SizeClass.LARGE, SpeedClass.SLOW),
        (families.LLAMA4_SCOUT, 107.8, 17.2, SizeClass.LARGE, SpeedClass.MODERATE),  # 109 with its vision tower
        (families.BGE_M3, 0.57, 0.57, SizeClass.SMALL, SpeedClass.FAST),
    ],
)
def test_parameters_and_classes(
    config: dict[str, Any], total: float, active: float, size: SizeClass, speed: SpeedClass
) -> None:
    found = model(config).parameters
    assert found.total / BILLION == pytest.approx(total, rel=0.03)
    assert found.active / BILLION == pytest.approx(active, rel=0.15)
    assert (size_class(found.total), speed_class(found.active)) == (size, speed)


@pytest.mark.parametrize(
    ("config", "context", "gib"),
    [
        (families.PHI3_MINI, 8192, 3.0),  # no window: llama.cpp ignores Phi-3's
        (families.PHI3_MINI, 131_072, 48.0),
        (families.PHI4, 8192, 1.5625),
        (families.PHI4_MINI, 32_768, 4.0),
        (families.GEMMA2_9B, 8192, 2.05),
        (families.GEMMA2_27B, 8192, 2.25),
        (families.GEMMA3_1B, 8192, 0.05),
        (families.GEMMA3_12B, 32_768, 2.47),
        (families.GEMMA3_27B, 131_072, 10.6),  # not 62: five of six layers look back 1,024 tokens
        (families.LLAMA31_8B, 131_072, 16.0),
        (families.MISTRAL_SMALL, 32_768, 5.0),
        (families.QWEN35_9B, 32_768, 1.0 + 50 / 1024),
        (families.QWEN35_27B, 32_768, 2.0 + 149 / 1024),  # sixteen of 64 layers attend to everything
        (families.QWEN35_35B, 131_072, 2.5 + 63 / 1024),
        (families.QWEN35_397B, 131_072, 3.75 + 186 / 1024),
        (families.GPT_OSS_20B, 131_072, 3.02),  # every other layer looks back 128 tokens
        (families.GPT_OSS_120B, 8192, 0.31),
        (families.DEEPSEEK_V3, 32_768, 61 * 576 * 2 * 32_768 / GIB),  # latent: 2.14, not 160
        (families.KIMI_K2, 131_072, 8.58),
        # Each at its whole context, where others were 61 % below to 682 % above (unslothai/unsloth#4757)
        (families.DEEPSEEK_V3, 163_840, 10.72),
        (families.KIMI_K2, 262_144, 17.16),
        (families.QWEN35_27B, 262_144, 16.0 + 149 / 1024),
        (families.GPT_OSS_20B, 32_768, 0.77),  # not 1.5: gpustack/gguf-parser-go#32
        (families.GEMMA3_27B, 85_000, 7.2),  # gpustack/gpustack#2101
        (families.GEMMA3_4B, 131_072, 2734 / 1024),  # both caches count, 2560 and 174 MiB: ollama/ollama#17037
        (families.GEMMA4_12B, 131_072, 2.47),  # forty times as much was told: tmac1973/llama-toolchest#58
    ],
)
def test_caches_of_one_sequence(config: dict[str, Any], context: int, gib: float) -> None:
    size = kv_cache.size(model(config).layers, ModelUse(tokens=context, slots=1)).total
    assert size / GIB == pytest.approx(gib, rel=0.04, abs=0.01)


@pytest.mark.parametrize(
    ("config", "tokens", "full", "windowed"),
    [
        # alvarobartt/hf-mem#60, #70: layers with a window count, and as whole as long as a batch reaches beyond them
        (families.GPT_OSS_120B, 128, 18, 18 * (128 + 16) / 128),
        (families.GPT_OSS_20B, 8192, 12, 12 * (8192 + 16) / 8192),
        (families.GPT_OSS_20B, 131_072, 12, 12 * (8192 + 127 + 1 + 16) / 131_072),
    ],
)
def test_a_request_of_vllm_keeps_windows_and_the_batch_in_work(
    config: dict[str, Any], tokens: int, full: int, windowed: float
) -> None:
    each = 2 * 8 * 64 * 2 * tokens  # keys and values of eight heads, 16 bits
    assert vllm.request_bytes(model(config), tokens) == pytest.approx((full + windowed) * each, rel=1e-4)


@pytest.mark.parametrize(
    ("config", "full", "heads", "own"),
    [
        (families.GEMMA4_E2B, 3, 1, 15),  # microsoft/onnxruntime-genai#2088: 15 of 35 layers have a cache
        (families.GEMMA4_E4B, 4, 2, 24),
        (families.GEMMA4_12B, 8, 1, 48),  # 16 KiB a token, not 128: raullenchai/Rapid-MLX#1423
        (families.GEMMA4_26B, 5, 2, 30),
        (families.GEMMA4_31B, 10, 4, 60),
    ],
)
def test_what_looks_back_on_everything_has_heads_of_its_own(
    config: dict[str, Any], full: int, heads: int, own: int
) -> None:
    """Gemma 4: a token more costs its full layers alone, whose heads are twice as wide and fewer."""
    made = model(config)
    assert sum(layer.key > 0 for layer in made.layers) == own
    short, long = (kv_cache.size(made.layers, ModelUse(tokens=tokens, slots=1)).total for tokens in (32_768, 65_536))
    assert (long - short) / 32_768 == full * heads * 512 * 2 * 2
    bare = {key: value for key, value in config["text_config"].items() if key not in ("global_head_dim", "model_type")}
    named = {f"{layer}": {"head_dim": 512, "num_key_value_heads": heads} for layer in _full_layers(bare)}
    said = {**bare, "model_type": "gemma4_text", "per_layer_config": named}
    assert [(one.key, one.value, one.window) for one in model(said).layers] == [
        (one.key, one.value, one.window) for one in made.layers
    ], "what newer files of transformers say layer by layer is the same"


def _full_layers(text: dict[str, Any]) -> list[int]:
    return [layer for layer, kind in enumerate(text["layer_types"]) if kind == "full_attention"]


def test_gemma_4_without_a_list_of_its_layers_has_five_windows_to_one() -> None:
    listed, text = model(families.GEMMA4_31B), dict(families.GEMMA4_31B["text_config"])
    del text["layer_types"]
    assert [layer.window for layer in model(text).layers] == [layer.window for layer in listed.layers]


def test_the_latent_cache_of_deepseek_is_known_to_the_byte() -> None:
    assert kv_cache.size(model(families.DEEPSEEK_V3).layers, ModelUse(tokens=1024, slots=1)).total == 70_272 * 1024


@pytest.mark.parametrize(
    ("config", "quantisation", "gigabytes"),
    [
        (families.PHI4, "Q4_K_M", 9.05),
        (families.PHI4, "Q5_K_M", 10.6),
        (families.PHI4, "Q6_K", 12.0),
        (families.PHI4, "Q8_0", 15.6),
        (families.PHI4, "F16", 29.3),
        (families.PHI4_MINI, "Q4_K_M", 2.5),
        (families.PHI3_MINI, "Q4_K_M", 2.4),
        (families.GEMMA2_27B, "Q4_K_M", 16.65),
        (families.GEMMA2_27B, "Q8_0", 28.9),
        (families.GEMMA3_27B, "Q4_K_M", 16.5),
        (families.GEMMA3_27B, "Q8_0", 28.7),
        (families.LLAMA31_8B, "Q4_K_M", 4.92),
        (families.LLAMA31_8B, "Q8_0", 8.54),
        (families.QWEN35_9B, "Q4_K_M", 5.5),
        (families.QWEN35_35B, "Q4_K_M", 21.4),
        (families.QWEN35_397B, "BF16", 807.0),
        (families.MISTRAL_SMALL, "Q4_K_M", 14.3),
        (families.MISTRAL_SMALL, "Q6_K", 19.3),
        (families.MISTRAL_SMALL, "Q8_0", 25.1),
        (families.MISTRAL_SMALL, "BF16", 47.2),
        (families.DEEPSEEK_V3, "Q4_K_M", 404.0),
        (families.KIMI_K2, "Q8_0", 1090.0),
    ],
)
def test_sizes_of_files(config: dict[str, Any], quantisation: str, gigabytes: float) -> None:
    found = estimated_bytes(model(config).parameters.total, quantisation)
    assert found / BILLION == pytest.approx(gigabytes, rel=0.07)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (8_030_261_248, "8.03 B"),
        (671 * BILLION, "671 B"),
        (1_026 * BILLION, "1.03 T"),
        (270_000_000, "270 M"),
        (999_800_000, "1 B"),
    ],
)
def test_numbers_of_parameters_are_written_as_people_do(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("total", "word"),
    [
        (15 * BILLION - 1, SizeClass.SMALL),
        (15 * BILLION, SizeClass.MEDIUM),
        (70 * BILLION, SizeClass.MEDIUM),
        (70 * BILLION + 1, SizeClass.LARGE),
    ],
)
def test_bounds_of_the_size_classes(total: int, word: SizeClass) -> None:
    assert size_class(total) == word


def test_an_indexer_keeps_a_key_beside_the_latent_one() -> None:
    config = {**families.DEEPSEEK_V3, "model_type": "deepseek_v32", "index_head_dim": 128}
    size = kv_cache.size(model(config).layers, ModelUse(tokens=1024, slots=1))
    assert (size.full, size.side) == (70_272 * 1024, 61 * 128 * 2 * 1024)


def test_indexers_are_shared_from_a_million_tokens_on() -> None:
    config = {**families.DEEPSEEK_V3, "model_type": "glm_moe_dsa", "index_head_dim": 128}
    config |= {"num_hidden_layers": 10, "max_position_embeddings": 1_048_576}
    assert [bool(layer.side) for layer in model(config).layers] == [True, True, True] + [False] * 3 + [True] + [
        False
    ] * 3


def test_old_tokens_are_compressed() -> None:
    config = {
        "model_type": "deepseek_v4", "num_hidden_layers": 3, "hidden_size": 4096, "num_attention_heads": 64, "head_dim": 512,
        "num_key_value_heads": 1, "sliding_window": 128, "compress_ratios": [0, 4, 128], "index_head_dim": 128,
        "vocab_size": 129_280, "n_routed_experts": 256, "num_experts_per_tok": 6, "moe_intermediate_size": 2048,
    }  # fmt: skip
    size = kv_cache.size(model(config).layers, ModelUse(tokens=131_072, slots=1))
    assert size.full == 0 and size.windowed == 3 * 768 * 512 * 2
    assert size.side == (131_072 // 4 * (512 + 128) + 1024 * 512) * 2
