"""A model that its engine cannot serve is told by its files, before the engine has failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset.status import size, suits
from tests.support.sizing import families
from tests.unit.status.test_size import observed, resource


@pytest.mark.parametrize(
    ("config", "spec", "words"),
    [
        (families.LLAMA31_8B, {"engine": "vllm", "resources": {"accelerator": {"count": 3}}}, "3 GPUs do not divide 32"),
        (
            families.LLAMA31_8B,
            {"engine": "vllm", "resources": {"accelerator": {"count": 4}}, "parallelism": {"tensor": 2, "pipeline": 2}}, "",
        ),
        (
            families.PHI4, {"engine": "vllm", "context": {"tokens": 20_000}, "resources": {"accelerator": {}}},
            "context.tokens is 20000, and the model was made for 16384",
        ),
        (
            families.PHI4,
            {
                "engine": "vllm", "context": {"tokens": 20_000}, "resources": {"accelerator": {}},
                "vllm": {"extraArgs": ["--hf-overrides={}"]},
            }, "",
        ),
        (families.LLAMA31_8B, {"resources": {"accelerator": {"count": 3}}}, ""),  # llama.cpp splits by layers
        (families.BGE_M3, {}, "set task to Embeddings"),
        (families.BGE_M3, {"task": "Embeddings"}, ""),
        (families.DEEPSEEK_V3, {"llamaCpp": {"extraArgs": ["-ctk", "q8_0"]}}, "give both the same cache type"),
    ],
)  # fmt: skip
def test_what_the_engine_refuses(config: dict[str, Any], spec: dict[str, Any], words: str) -> None:
    found = suits.unserved(resource(**spec), size.facts(observed(config)))
    assert bool(found) == bool(words)
    if found is not None:
        assert found.reason == "ModelMismatch" and found.needs_person and words in found.message


def test_a_companion_of_another_model_needs_a_person() -> None:
    model = size.facts(observed(families.GEMMA2_9B))
    assert model is not None
    found = suits.unserved(resource(), replace(model, unfit=("spec.projector: the projector makes vectors of 7",)))
    assert found is not None and found.reason == "ModelMismatch" and found.needs_person
    assert found.message.endswith("as asked: spec.projector: the projector makes vectors of 7")


def test_requests_that_are_cut_off_are_a_warning() -> None:
    model = size.facts(observed(families.GEMMA2_9B))
    found = suits.cut_off(resource(context={"tokens": 32_768}), model)
    assert found is not None and found.reason == "ContextTooLong"
    assert "spec.context.tokens is 32768, and the model was made for 8192" in found.message
    stretched = {"llamaCpp": {"extraArgs": ["--rope-scaling", "yarn"]}}
    assert suits.cut_off(resource(context={"tokens": 32_768}, **stretched), model) is None
    assert suits.cut_off(resource(context={"tokens": 8192}), model) is None
    assert suits.unserved(resource(context={"tokens": 32_768}), model) is None


def test_nothing_is_said_while_the_model_is_not_known() -> None:
    assert suits.unserved(resource(), None) is None and suits.cut_off(resource(), None) is None
