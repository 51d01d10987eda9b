"""The census: each ModelDeployment is counted once, where it belongs now."""

from __future__ import annotations

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.controllers.census import Census, Row, row_of
from genset.kube.metrics import Metrics

SMALL: Row = ("vllm", "Small", "Fast", "true")
NEW: Row = ("vllm", "", "", "false")


def counted(metrics: Metrics) -> dict[Row, float]:
    (family,) = metrics.model_deployments.collect()
    names = ("engine", "size_class", "speed_class", "ready")
    return {tuple(sample.labels[name] for name in names): sample.value for sample in family.samples if sample.value}  # type: ignore[misc]


def test_each_one_is_counted_where_it_belongs_now() -> None:
    metrics = Metrics()
    census = Census(metrics.model_deployments)
    for name in ("a", "b", "a"):
        census.count(name, NEW)
    assert counted(metrics) == {NEW: 2}
    census.count("a", SMALL)
    assert counted(metrics) == {NEW: 1, SMALL: 1}
    census.drop("b")
    census.drop("never seen")
    assert counted(metrics) == {SMALL: 1}
    Census(metrics.model_deployments)
    assert counted(metrics) == {}, "a process that no longer leads counts nothing"


def test_its_row_follows_from_its_status() -> None:
    resource = ModelDeployment.model_validate(
        {
            "metadata": {"name": "m", "namespace": "n"},
            "spec": {"engine": "vllm", "source": {"huggingFace": {"repo": "org/name"}}},
        }
    )
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert row_of(resource, ModelDeploymentStatus()) == NEW
    told = ModelDeploymentStatus.model_validate({"size": {"class": "Small", "speed": "Fast"}, "conditions": [ready]})
    assert row_of(resource, told) == SMALL
