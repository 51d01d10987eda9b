"""status.size: what a puller told, at the context of the spec, and the warning if memory is short."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import SizeStatus
from genset.contracts.puller import LastWords
from genset.sizing import hf_model, told
from genset.status import size
from genset.status.observed import ModelDeploymentObserved
from genset.status.pod import PodView
from tests.support.sizing import families

GIB = 2**30
NOTHING = ModelDeploymentObserved()


def resource(**spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "metadata": {"name": "m", "namespace": "models"},
            "spec": {"source": {"huggingFace": {"repo": "org/name"}}, **spec},
        }
    )


def observed(*configs: dict[str, Any], words: str | None = None) -> ModelDeploymentObserved:
    pods = []
    for number, config in enumerate(configs):
        model = hf_model.from_config(config, quantisation="Q4_K_M", licence="Apache 2.0")
        message = words or LastWords("WeightsReady", total_bytes=1, model=told.tell(model)).to_json()
        state = {"name": "weights", "state": {"terminated": {"exitCode": 0, "message": message}}}
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": f"2026-01-01T00:00:0{number}Z"}
        status = {"phase": "Running", "conditions": [scheduled], "initContainerStatuses": [state]}
        pods.append(PodView.of({"metadata": {"name": f"m-{number}"}, "status": status}))
    return ModelDeploymentObserved(pods=tuple(pods))


def test_it_says_what_the_model_is_and_needs() -> None:
    seen = observed(families.LLAMA31_8B)
    found = size.status(resource(context={"tokens": 8192, "parallel": 2}), size.facts(seen), None)
    assert found is not None
    assert (found.model_class, found.speed, found.architecture) == ("Small", "Moderate", "llama")
    assert (found.parameters, found.quantisation, found.licence) == (8_029_995_008, "Q4_K_M", "apache-2.0")
    assert found.cache_bytes == 2 * 2**30
    assert found.memory_bytes > found.weights_bytes + found.cache_bytes and found.device_bytes == 0


def test_the_newest_pod_tells() -> None:
    found = size.facts(observed(families.LLAMA31_8B, families.GEMMA3_27B))
    assert found is not None and found.architecture == "gemma3"


@pytest.mark.parametrize(
    "words", ["", "no JSON", "{}", json.dumps({"model": {"layers": [1]}}), json.dumps({"model": 7})]
)
def test_what_was_known_stays_while_nobody_tells(words: str) -> None:
    known = SizeStatus.model_validate({"class": "Large"})
    seen = observed(families.LLAMA31_8B, words=words or " ")
    assert size.status(resource(), size.facts(seen), known) is known


def test_memory_that_is_short_is_told_with_the_remedies() -> None:
    seen = size.facts(observed(families.LLAMA31_8B))
    verdict = size.short(resource(context={"tokens": 16384, "parallel": 4}, resources={"memory": "8Gi"}), seen, NOTHING)
    assert verdict is not None and verdict.reason == "MemoryShort"
    assert "spec.resources.memory is 8Gi, and the model needs about 12." in verdict.message
    assert "lower spec.context.parallel to 1 or lower spec.context.tokens to 4096" in verdict.message
    assert "raise it to 13" in verdict.message


@pytest.mark.parametrize(
    "spec",
    [
        {"resources": {"memory": "16Gi"}},
        {"resources": {"memory": "1Gi", "accelerator": {"vendor": "nvidia", "count": 1}}},
    ],
)
def test_enough_memory_is_no_news(spec: dict[str, Any]) -> None:
    assert size.short(resource(**spec), size.facts(observed(families.LLAMA31_8B)), NOTHING) is None


def test_arguments_of_the_server_count() -> None:
    seen = size.facts(observed(families.LLAMA31_8B))
    plain = size.status(resource(), seen, None)
    packed = size.status(resource(llamaCpp={"extraArgs": ["-ctk", "q8_0", "-ctv", "q8_0"]}), seen, None)
    on_gpu = size.status(resource(resources={"accelerator": {"count": 2}}), seen, None)
    assert plain is not None and packed is not None and on_gpu is not None
    assert packed.cache_bytes * 32 == plain.cache_bytes * 17
    assert on_gpu.device_bytes > plain.weights_bytes // 2


def test_an_engine_with_a_pool_counts_requests_of_full_length() -> None:
    seen = size.facts(observed(families.LLAMA31_8B))
    spec = {"engine": "vllm", "context": {"tokens": 8192, "parallel": 2}, "resources": {"accelerator": {"count": 2}}}
    found = size.status(resource(**spec), seen, None)
    assert found is not None and found.cache_bytes == 2 * 2**30
    assert found.weights_bytes // 2 < found.device_bytes < found.weights_bytes
    assert size.short(resource(**spec), seen, NOTHING) is None


def test_memory_from_before_the_model_was_known_is_told() -> None:
    """Nobody said a number: the pods have what they got, and the next roll-out gives what is needed."""
    container = {"name": "engine", "resources": {"requests": {"memory": "4Gi", "cpu": "2"}}}
    running = {"spec": {"template": {"spec": {"containers": [container]}}}}
    seen = observed(families.LLAMA31_8B)
    found = size.short(resource(), size.facts(seen), replace(seen, deployment=running))
    assert found is not None and found.reason == "MemoryShort"
    assert found.message.startswith("Pods have 4.0 GiB of memory, from before the model was known")
    assert "the next roll-out gives them 7680Mi" in found.message and "genset.dev/roll" in found.message
    assert size.short(resource(), size.facts(seen), seen) is None


def test_projector_and_adapters_count_as_soon_as_they_are_there() -> None:
    parts = [
        {"name": "model", "state": "Ready", "totalBytes": 5 * GIB},
        {"name": "projector", "state": "Ready", "totalBytes": GIB},
        {"name": "invoices", "state": "Ready", "totalBytes": GIB // 2},
    ]
    source = {"huggingFace": {"repo": "org/name"}}
    spec = {"projector": source, "adapters": [{"name": "invoices", "source": source}]}
    made = ModelDeployment.model_validate(
        {
            "metadata": {"name": "m", "namespace": "models"},
            "spec": {"source": source, **spec},
            "status": {"weights": {"parts": parts}},
        }
    )
    model = size.facts(observed(families.LLAMA31_8B))
    alone, all_of_it = size.status(resource(), model, None), size.status(made, model, None)
    assert alone is not None and all_of_it is not None
    pictures = 512 * 2**20  # while one becomes tokens
    assert all_of_it.memory_bytes - alone.memory_bytes == GIB + GIB // 2 + pictures
