"""How a model is used follows from what its server is really told, by whichever engine, field, task or argument."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.desired.model_use import placement_of, serving_of, use_of
from genset.sizing.kv_cache import ModelUse

GPU = {"resources": {"accelerator": {}}}


def resource(**spec: Any) -> ModelDeployment:
    source = {"huggingFace": {"repo": "org/name"}}
    return ModelDeployment.model_validate(
        {"metadata": {"name": "m", "namespace": "n"}, "spec": {"source": source, **spec}}
    )


@pytest.mark.parametrize(
    ("spec", "changed"),
    [
        ({}, {}),
        ({"llamaCpp": {"extraArgs": ["-ctk", "q8_0", "--cache-type-v", "q4_0"]}}, {"key_type": "q8_0", "value_type": "q4_0"}),
        ({"llamaCpp": {"extraArgs": ["-ctk", "q9"]}}, {}),
        ({"llamaCpp": {"extraArgs": ["-kvu", "--swa-full"]}}, {"unified": True, "full_windows": True}),
        ({"llamaCpp": {"extraArgs": ["-ub", "2048"]}}, {"ubatch": 2048}),
        ({"llamaCpp": {"extraArgs": ["-ub", "2048", "-b", "1024"]}}, {"ubatch": 1024}),  # llama-context.cpp takes the smaller one
        ({"llamaCpp": {"extraArgs": ["-b", "64"]}}, {"ubatch": 64}),
        ({"llamaCpp": {"extraArgs": ["-b", "4096"]}}, {}),  # 512 of them at once
        ({"llamaCpp": {"extraArgs": ["-ub", "64", "-ub", "128"]}}, {"ubatch": 128}),
        ({"llamaCpp": {"extraArgs": ["--spec-type", "draft-mtp"]}}, {"drafts": 3}),
        ({"llamaCpp": {"extraArgs": ["--spec-type", "ngram-mod,draft-mtp", "--spec-draft-n-max", "2"]}}, {"drafts": 2}),
        ({"llamaCpp": {"extraArgs": ["--spec-type", "ngram-mod", "--spec-draft-n-max", "2"]}}, {}),
        ({"llamaCpp": {"extraArgs": ["-ctkd", "q8_0", "--spec-draft-type-v", "q4_0"]}},
         {"draft_key_type": "q8_0", "draft_value_type": "q4_0"}),
        # A text that becomes a vector goes through the model as a whole: gpustack#2412, #2614
        ({"task": "Embeddings", "context": {"tokens": 8192}}, {"tokens": 8192, "ubatch": 8192}),
        ({"task": "Rerank", "context": {"tokens": 1024}}, {"tokens": 1024, "ubatch": 1024}),
        (
            {"task": "Embeddings", "context": {"tokens": 8192}, "llamaCpp": {"extraArgs": ["-ub", "256"]}},
            {"tokens": 8192, "ubatch": 256},
        ),
        ({"engine": "ollama"}, {}),
        ({"engine": "ollama", "ollama": {"kvCacheType": "q8_0"}}, {"key_type": "q8_0", "value_type": "q8_0"}),  # ollama#10128
        ({"engine": "ollama", "ollama": {"parameters": {"num_batch": "256"}}}, {"ubatch": 256}),
        ({"engine": "ollama", "ollama": {"parameters": {"num_batch": "-1"}}}, {}),
        ({"engine": "ollama", "task": "Embeddings", "context": {"tokens": 2048}}, {"tokens": 2048, "ubatch": 2048}),
        ({"engine": "llamafile", "llamafile": {"image": "i", "extraArgs": ["-ctk", "q8_0"]}}, {"key_type": "q8_0"}),
        ({"engine": "vllm"}, {}),
        ({"engine": "vllm", "vllm": {"extraArgs": ["--kv-cache-dtype", "fp8"]}}, {"eight_bits": True}),
        ({"engine": "vllm", "vllm": {"extraArgs": ["--kv_cache_dtype=fp8_e5m2"]}}, {"eight_bits": True}),
        ({"engine": "vllm", "vllm": {"extraArgs": ["--kv-cache-dtype=fp8", "--kv-cache-dtype", "auto"]}}, {}),
        ({"engine": "vllm", "vllm": {"extraArgs": ["--kv-cache-dtype"]}}, {}),
        ({"engine": "vllm", "vllm": {"extraArgs": ["--kv-cache-dtype-skip-layers", "fp8"]}}, {}),
    ],
)  # fmt: skip
def test_what_changes_the_memory_of_a_server(spec: dict[str, Any], changed: dict[str, Any]) -> None:
    made = resource(**spec)
    usual = {"tokens": made.spec.context.tokens, "slots": made.spec.context.parallel}
    assert use_of(made) == ModelUse(**{**usual, **changed})


@pytest.mark.parametrize(
    ("spec", "layers", "cpu_experts"),
    [
        ({}, None, 0),
        ({"llamaCpp": {"extraArgs": ["-ngl", "20", "-ncmoe", "8"]}}, 20, 8),
        ({"llamaCpp": {"extraArgs": ["-ngl", "20", "-ncmoe", "8", "--gpu-layers", "30", "-ncmoe", "4"]}}, 30, 4),
        ({"llamaCpp": {"extraArgs": ["-ngl", "20", "-ngl", "all"]}}, None, 0),
        ({"llamaCpp": {"extraArgs": ["--cpu-moe"]}}, None, 2**16),
        ({"engine": "ollama", "ollama": {"parameters": {"num_gpu": "12"}}}, 12, 0),
        ({"engine": "ollama", "ollama": {"parameters": {"num_gpu": "-1"}}}, None, 0),
        ({"engine": "llamafile", "llamafile": {"image": "i"}}, 9999, 0),
    ],
)
def test_where_a_model_stands(spec: dict[str, Any], layers: int | None, cpu_experts: int) -> None:
    place = placement_of(resource(**{**GPU, **spec}))
    assert (place.gpus, place.gpu_layers, place.cpu_experts) == (1, layers, cpu_experts)
    assert placement_of(resource(**spec)).gpus == 0


@pytest.mark.parametrize(
    ("arguments", "stretched"), [([], False), (["--hf-overrides={}"], True), (["--hf-overrides", "{}"], True)]
)
def test_arguments_that_stretch_a_model(arguments: list[str], stretched: bool) -> None:
    assert serving_of(resource(engine="vllm", vllm={"extraArgs": arguments})).stretched is stretched
