"""These are the configurations of public model families, as far as sizing reads them (their config.json files)."""

from __future__ import annotations

from typing import Any


def _config(kind: str, layers: int, hidden: int, heads: int, kv_heads: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "torch_dtype": "bfloat16",
        **more,
    }


def _gemma3(layers: int, hidden: int, heads: int, kv_heads: int, head: int, width: int, window: int) -> dict[str, Any]:
    text = _config(
        "gemma3_text", layers, hidden, heads, kv_heads, head_dim=head, intermediate_size=width, vocab_size=262_208,
        sliding_window=window, sliding_window_pattern=6, max_position_embeddings=131_072, tie_word_embeddings=True,
    )  # fmt: skip
    return {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}


def _gemma4(
    layers: int, hidden: int, heads: int, kv_heads: int, width: int, *, every: int = 6, **more: Any
) -> dict[str, Any]:
    types = ["full_attention" if (layer + 1) % every == 0 else "sliding_attention" for layer in range(layers)]
    text = _config(
        "gemma4_text", layers, hidden, heads, kv_heads, head_dim=256, global_head_dim=512, intermediate_size=width,
        vocab_size=262_144, vocab_size_per_layer_input=262_144, sliding_window=1024, layer_types=types,
        max_position_embeddings=131_072, tie_word_embeddings=True, enable_moe_block=False, **more,
    )  # fmt: skip
    return {"model_type": "gemma4", "architectures": ["Gemma4ForConditionalGeneration"], "text_config": text}


def _qwen35(kind: str, layers: int, hidden: int, heads: int, kv_heads: int, values: int, **more: Any) -> dict[str, Any]:
    text = _config(
        f"{kind}_text", layers, hidden, heads, kv_heads, head_dim=256, vocab_size=248_320, full_attention_interval=4,
        linear_num_key_heads=16, linear_num_value_heads=values, linear_key_head_dim=128, linear_value_head_dim=128,
        linear_conv_kernel_dim=4, max_position_embeddings=262_144, **more,
    )  # fmt: skip
    return {"model_type": kind, "architectures": ["Qwen3_5ForConditionalGeneration"], "text_config": text}


PHI3_MINI = _config(
    "phi3", 32, 3072, 32, 32, intermediate_size=8192, vocab_size=32_064, sliding_window=2047,
    max_position_embeddings=131_072,
)  # fmt: skip
PHI3_MINI_4K = {**PHI3_MINI, "max_position_embeddings": 4096}
PHI4 = _config(
    "phi3", 40, 5120, 40, 10, intermediate_size=17_920, vocab_size=100_352, sliding_window=None,
    max_position_embeddings=16_384,
)  # fmt: skip
PHI4_REASONING = {**PHI4, "max_position_embeddings": 32_768}
PHI4_MINI = _config(
    "phi3", 32, 3072, 24, 8, intermediate_size=8192, vocab_size=200_064, sliding_window=262_144,
    tie_word_embeddings=True, max_position_embeddings=131_072,
)  # fmt: skip
QWEN25_1B = _config(
    "qwen2", 28, 1536, 12, 2, intermediate_size=8960, vocab_size=151_936, max_position_embeddings=32_768,
    tie_word_embeddings=True,
)  # fmt: skip
GEMMA2_9B = _config(
    "gemma2", 42, 3584, 16, 8, head_dim=256, intermediate_size=14_336, vocab_size=256_000, sliding_window=4096,
    tie_word_embeddings=True, max_position_embeddings=8192,
)  # fmt: skip
GEMMA2_27B = _config(
    "gemma2", 46, 4608, 32, 16, head_dim=128, intermediate_size=36_864, vocab_size=256_000, sliding_window=4096,
    tie_word_embeddings=True, max_position_embeddings=8192,
)  # fmt: skip
GEMMA3_1B = _gemma3(26, 1152, 4, 1, 256, 6912, 512)
GEMMA3_4B = _gemma3(34, 2560, 8, 4, 256, 10_240, 1024)
GEMMA3_12B = _gemma3(48, 3840, 16, 8, 256, 15_360, 1024)
GEMMA3_27B = _gemma3(62, 5376, 32, 16, 128, 21_504, 1024)
GEMMA4_E2B = _gemma4(
    35, 1536, 8, 1, 6144, every=5, num_kv_shared_layers=20, hidden_size_per_layer_input=256, use_double_wide_mlp=True
)
GEMMA4_E4B = _gemma4(42, 2560, 8, 2, 10_240, num_kv_shared_layers=18, hidden_size_per_layer_input=256)
GEMMA4_12B = _gemma4(48, 3840, 16, 8, 15_360, num_global_key_value_heads=1, attention_k_eq_v=True)
GEMMA4_26B = _gemma4(30, 2816, 16, 8, 2112, num_global_key_value_heads=2, attention_k_eq_v=True)
GEMMA4_26B["text_config"] |= {
    "enable_moe_block": True, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704,
}  # fmt: skip
GEMMA4_31B = _gemma4(60, 5376, 32, 16, 21_504, num_global_key_value_heads=4, attention_k_eq_v=True)
LLAMA31_8B = _config(
    "llama", 32, 4096, 32, 8, intermediate_size=14_336, vocab_size=128_256, max_position_embeddings=131_072
)
MISTRAL_SMALL = _config(
    "mistral", 40, 5120, 32, 8, head_dim=128, intermediate_size=32_768, vocab_size=131_072, sliding_window=None,
    max_position_embeddings=131_072,
)  # fmt: skip
QWEN35_9B = _qwen35("qwen3_5", 32, 4096, 16, 4, 32, intermediate_size=12_288)
QWEN35_27B = _qwen35("qwen3_5", 64, 5120, 24, 4, 48, intermediate_size=17_408)
QWEN35_35B = _qwen35(
    "qwen3_5_moe", 40, 2048, 16, 2, 32, num_experts=256, num_experts_per_tok=8, moe_intermediate_size=512,
    shared_expert_intermediate_size=512,
)  # fmt: skip
QWEN35_397B = _qwen35(
    "qwen3_5_moe", 60, 4096, 32, 2, 64, num_experts=512, num_experts_per_tok=10, moe_intermediate_size=1024,
    shared_expert_intermediate_size=1024,
)  # fmt: skip
GPT_OSS_20B = _config(
    "gpt_oss", 24, 2880, 64, 8, head_dim=64, intermediate_size=2880, vocab_size=201_088, num_local_experts=32,
    num_experts_per_tok=4, sliding_window=128, max_position_embeddings=131_072,
    layer_types=["sliding_attention", "full_attention"] * 12,
    quantization_config={"quant_method": "mxfp4"},
)  # fmt: skip
GPT_OSS_120B = {
    **GPT_OSS_20B, "num_hidden_layers": 36, "num_local_experts": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
}  # fmt: skip
DEEPSEEK_V3 = _config(
    "deepseek_v3", 61, 7168, 128, 128, intermediate_size=18_432, vocab_size=129_280, kv_lora_rank=512,
    q_lora_rank=1536, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=256,
    num_experts_per_tok=8, n_shared_experts=1, moe_intermediate_size=2048, first_k_dense_replace=3,
    num_nextn_predict_layers=1, max_position_embeddings=163_840,
    quantization_config={"quant_method": "fp8"},
)  # fmt: skip
KIMI_K2 = {
    **DEEPSEEK_V3, "model_type": "kimi_k2", "num_attention_heads": 64, "num_key_value_heads": 64,
    "n_routed_experts": 384, "vocab_size": 163_840, "first_k_dense_replace": 1, "max_position_embeddings": 131_072,
}  # fmt: skip
DEEPSEEK_V4_FLASH = _config(
    "deepseek_v4", 43, 4096, 64, 1, head_dim=512, vocab_size=129_280, q_lora_rank=1024, o_lora_rank=1024, o_groups=8,
    qk_rope_head_dim=64, n_routed_experts=256, num_experts_per_tok=6, n_shared_experts=1, moe_intermediate_size=2048,
    sliding_window=128, index_head_dim=128, max_position_embeddings=1_048_576,
    compress_ratios=[0, 0, *(4 if layer % 2 == 0 else 128 for layer in range(2, 43))],
    quantization_config={"quant_method": "fp8"},  # its experts have 4 bits (expert_dtype)
)  # fmt: skip
GLM52 = _config(
    "glm_moe_dsa", 78, 6144, 64, 64, intermediate_size=12_288, vocab_size=154_880, kv_lora_rank=512, q_lora_rank=2048,
    qk_rope_head_dim=64, qk_nope_head_dim=192, v_head_dim=256, n_routed_experts=256, num_experts_per_tok=8,
    n_shared_experts=1, moe_intermediate_size=2048, first_k_dense_replace=3, num_nextn_predict_layers=1,
    index_head_dim=128, max_position_embeddings=1_048_576, quantization_config={"quant_method": "fp8"},
)  # fmt: skip
LLAMA4_SCOUT = {
    "model_type": "llama4",
    "text_config": _config(
        "llama4_text", 48, 5120, 40, 8, head_dim=128, intermediate_size=8192, intermediate_size_mlp=16_384,
        vocab_size=202_048, num_local_experts=16, num_experts_per_tok=1, interleave_moe_layer_step=1,
        attention_chunk_size=8192, max_position_embeddings=10_485_760,
    ),
}  # fmt: skip
BGE_M3 = _config(
    "xlm-roberta", 24, 1024, 16, 16, intermediate_size=4096, vocab_size=250_002, architectures=["XLMRobertaModel"],
    max_position_embeddings=8194, tie_word_embeddings=True,
)  # fmt: skip
