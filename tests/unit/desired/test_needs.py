"""Memory that follows from the model: what a pod gets before and after it is known, and which pods it makes new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.desired import needs, prefetch, service, workload
from genset.desired.context import ModelDeploymentContext, Object, Settings
from genset.desired.kept import PodsRecord
from genset.sizing import hf_model
from tests.support.owned import applied
from tests.support.sizing import families

GIB = 2**30
SETTINGS = Settings(image="genset:1")
FILE: dict[str, Any] = {"http": {"url": "https://host/m.gguf", "sha256": "a" * 64}}
VLLM: dict[str, Any] = {"engine": "vllm", "source": {"huggingFace": {"repo": "org/name"}}}
CACHE: dict[str, Any] = {"cache": {"size": "10Gi"}}


def house(*, size: int = 0, generation: int = 1, roll: str = "", **spec: Any) -> ModelDeployment:
    """`size`: bytes that status.size tells."""
    status: dict[str, Any] = {"observedGeneration": 1}
    if size:
        status["size"] = {"memoryBytes": size, "class": "Small"}
    annotations = {names.ANNOTATION_ROLL: roll} if roll else {}
    return ModelDeployment.model_validate(
        {
            "metadata": {
                "name": "house", "namespace": "n", "uid": "u", "generation": generation, "annotations": annotations,
            },
            "spec": {"source": FILE, **spec},
            "status": status,
        }
    )  # fmt: skip


def running(
    made: ModelDeployment, *, available: int, before: ModelDeploymentContext | None = None
) -> ModelDeploymentContext:
    """What the next reconcile finds, once the Deployment has been applied."""
    context = before or ModelDeploymentContext(settings=SETTINGS)
    deployment = workload.deployment(made, context)
    assert deployment is not None
    live = applied(deployment)
    live["status"] = {"replicas": 1, "availableReplicas": available}
    return replace(context, running=live, bearer=service.endpoints(made, context))


def memory(made: ModelDeployment, context: ModelDeploymentContext | None = None) -> str:
    deployment = workload.deployment(made, context or ModelDeploymentContext(settings=SETTINGS))
    assert deployment is not None
    spec: Object = deployment["spec"]["template"]["spec"]
    given = {
        one["resources"][kind]["memory"]
        for one in (*spec["initContainers"], *spec["containers"])
        for kind in ("requests", "limits")
    }
    assert len(given) == 1, "puller and engine, requests and limits have the same"
    return str(given.pop())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (house(), "4Gi"),
        (house(size=10 * GIB), "11Gi"),
        (house(size=2 * GIB), "2304Mi"),
        (house(size=10 * GIB, resources={"memory": "3Gi"}), "3Gi"),
        (house(llamaCpp={"cacheRAM": "2Gi"}), "6Gi"),  # it may fill that before the model is known
        (house(size=10 * GIB, resources={"accelerator": {"count": 1}}, **VLLM), "11Gi"),
        (house(size=10 * GIB, **VLLM), "4Gi"),  # its arguments share out the memory
    ],
)
def test_a_new_pod_gets_what_the_model_needs(made: ModelDeployment, expected: str) -> None:
    assert memory(made) == expected


def test_a_size_that_became_known_makes_no_pod_new_that_serves() -> None:
    before = running(house(**CACHE), available=1)
    assert memory(house(size=10 * GIB, **CACHE), before) == "4Gi"
    assert workload.pending(house(size=10 * GIB, **CACHE), before) is None
    record = PodsRecord.of(service.endpoints(house(size=10 * GIB, **CACHE), before))
    assert record == PodsRecord.of(before.bearer), "nothing is written, either"


def test_pods_that_starve_are_made_anew_once_if_that_downloads_nothing() -> None:
    known = house(size=10 * GIB, **CACHE)
    before = running(house(**CACHE), available=0)
    assert memory(known, before) == "11Gi"
    after = running(known, available=0, before=before)
    assert memory(known, after) == "11Gi" and memory(house(size=9 * GIB, **CACHE), after) == "11Gi"
    assert memory(house(size=10 * GIB), running(house(), available=0)) == "4Gi", "it would download everything again"
    assert memory(house(size=GIB, **CACHE), running(house(**CACHE), available=0)) == "4Gi", "it has enough"


def test_the_next_roll_out_takes_it_along() -> None:
    before = running(house(**CACHE), available=1)
    assert memory(house(size=10 * GIB, roll="1", **CACHE), before) == "11Gi"


def test_what_the_user_says_counts_at_once() -> None:
    before = running(house(size=10 * GIB), available=1)
    said = house(size=10 * GIB, generation=2, resources={"memory": "4Gi"})
    assert memory(said, before) == "4Gi"
    assert memory(house(size=10 * GIB, generation=3), running(said, available=1)) == "11Gi"


def test_another_context_is_reckoned_from_what_a_pod_tells() -> None:
    model = hf_model.from_config(families.LLAMA31_8B, quantisation="Q4_K_M")
    before = running(house(size=7 * GIB), available=1)
    longer = house(size=7 * GIB, generation=2, context={"tokens": 32_768, "parallel": 4})
    assert memory(longer, replace(before, model=model)) == "23Gi"


def test_a_default_that_an_api_server_filled_in_is_no_wish() -> None:
    """Up to 0.1.0 the memory had a default, which stands in stored resources: an upgrade rolls nothing because of it."""
    stored = house(resources={"cpu": "2", "memory": "4Gi"})
    before = running(stored, available=1)
    record = PodsRecord.of(before.bearer)
    assert record is not None
    old = replace(
        record, by="0.1.0", release="0.1.0", asked=workload.digest(workload.asked(house())), made="x", shape="x"
    )
    bearer = {"metadata": {"annotations": {names.ANNOTATION_PODS: old.to_annotation()}}}
    after = replace(before, bearer=bearer, settings=replace(SETTINGS, image="genset:2"))
    deployment = workload.deployment(stored, after)
    assert deployment is not None and deployment["spec"]["template"] == before.running["spec"]["template"]  # type: ignore[index]
    assert workload.pending(stored, after) is not None, "the image waits, as ever"


def test_a_size_that_became_known_makes_no_other_job() -> None:
    spec = {**CACHE, "prefetch": True, "replicas": 0}
    first, second = (
        prefetch.job(house(size=size, **spec), ModelDeploymentContext(settings=SETTINGS)) for size in (0, 10 * GIB)
    )
    assert first is not None and first == second


def test_a_server_elsewhere_has_no_memory_of_ours() -> None:
    assert not needs.is_derived(house(source=None, engine="external", external={"url": "https://host/v1"}))
