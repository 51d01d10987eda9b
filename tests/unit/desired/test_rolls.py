"""Which field of a ModelDeployment makes its pods new, for each engine: the table of docs/rollouts.md, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment, ModelDeploymentSpec
from genset.desired import workload
from genset.desired.context import ModelDeploymentContext, Settings
from tests.unit.desired.test_kept import running

PAGE = Path(__file__).parents[3] / "docs" / "rollouts.md"
HUB = {"repo": "a/b", "file": "*q4.gguf"}
FOLDER = {"repo": "a/b"}
ENGINES: dict[str, dict[str, Any]] = {
    "llama.cpp": {"engine": "llama.cpp", "source": {"huggingFace": HUB}},
    "vllm": {"engine": "vllm", "source": {"huggingFace": FOLDER}},
    "ollama": {"engine": "ollama", "source": {"huggingFace": HUB}},
    "llamafile": {
        "engine": "llamafile", "source": {"huggingFace": HUB},
        "llamafile": {"image": "registry.example/llamafile:0.10.0"},
    },
}  # fmt: skip
BASE: dict[str, Any] = {"cache": {"size": "10Gi"}, "resources": {"cpu": "2", "memory": "8Gi"}}
ADAPTER = [{"name": "tune", "source": {"huggingFace": {"repo": "a/tune", "file": "t.gguf"}}}]
FOLDER_ADAPTER = [{"name": "tune", "source": {"huggingFace": {"repo": "a/tune"}}}]
#: Field, an example of a change, and whether it makes pods new. Whatever an engine refuses is not asked of it.
CHANGES: list[tuple[str, dict[str, Any], bool]] = [
    ("model", {"model": "another"}, True),
    ("task", {"task": "Embeddings"}, True),
    ("source: another revision, file or digest", {"source": {"huggingFace": {"revision": "v2"}}}, True),
    (
        "source: token, endpoint, maxSize",
        {"source": {"huggingFace": {"tokenSecretRef": {"name": "s", "key": "k"}}}},
        True,
    ),
    ("projector", {"projector": {"huggingFace": {"repo": "a/b"}}}, True),
    ("adapters", {"adapters": ADAPTER}, True),
    ("cache.size", {"cache": {"size": "20Gi"}}, False),
    ("cache.retain", {"cache": {"retain": True}}, False),
    ("prefetch", {"prefetch": True}, False),
    ("context", {"context": {"tokens": 8192}}, True),
    ("resources", {"resources": {"memory": "16Gi"}}, True),
    ("replicas, by hand or by an autoscaler", {"replicas": 3}, False),
    ("autoscaling: any change of it", {"autoscaling": {"max": 5, "idleSeconds": 60, "targetInFlight": 4}}, False),
    ("autoscaling in place of replicas", {"replicas": 3, "autoscaling": None}, False),
    ("rollout.strategy, rollout.onUpgrade", {"rollout": {"strategy": "Replace", "onUpgrade": "Now"}}, False),
    ("rollout.drainSeconds", {"rollout": {"drainSeconds": 10}}, True),
    ("rollout.startupSeconds", {"rollout": {"startupSeconds": 100}}, False),
    ("price", {"price": {"currency": "EUR", "perHour": "0.40"}}, False),
    ("podTemplate", {"podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}}}, True),
    ("metadataTemplate", {"metadataTemplate": {"labels": {"team": "a"}}}, False),
    ("disruptionBudget", {"disruptionBudget": "None"}, False),
    ("the engine's settings, its image among them", {"own": {"image": "registry.example/other:1"}}, True),
]
BLOCKS = {"llama.cpp": "llamaCpp", "vllm": "vllm", "ollama": "ollama", "llamafile": "llamafile"}
#: Fields that no row can change alone, with the reason.
APART = {
    "engine": "another engine is another server", "parallelism": "it goes with resources.accelerator",
    "external": "of servers that are not ours",
}  # fmt: skip


def resource(engine: str, change: dict[str, Any]) -> ModelDeployment:
    """A deployment by demand with a change: maps are merged, `own` is the engine's block, None takes a field away."""
    spec: dict[str, Any] = merged({**BASE, "autoscaling": {"max": 2}}, ENGINES[engine])
    change = dict(change)
    if "own" in change:
        change[BLOCKS[engine]] = change.pop("own")
    if change.get("replicas") and "autoscaling" not in change:
        spec["autoscaling"] = None
        spec["replicas"] = 1
    if engine == "vllm" and change.get("adapters"):
        change["adapters"] = FOLDER_ADAPTER
    spec = {key: value for key, value in merged(spec, change).items() if value is not None}
    return ModelDeployment.model_validate({"metadata": {"name": "m", "uid": "u", "generation": 3}, "spec": spec})


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    out = dict(one)
    for key, value in other.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def rolls(engine: str, change: dict[str, Any], *, available: int = 9) -> bool | None:
    """Whether a change makes new pods of those that run; None if the engine does not take it."""
    context = ModelDeploymentContext(Settings(image="genset"))
    before = resource(engine, {"replicas": 1} if change == {"replicas": 3} else {})
    try:
        after = resource(engine, change)
    except ValueError:
        return None
    old = workload.deployment(before, context)
    found = running(before, context)
    assert found.running is not None and old is not None
    found.running["status"] = {"availableReplicas": available}
    new = workload.deployment(after, found)
    assert new is not None
    return bool(old["spec"]["template"] != new["spec"]["template"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("field", "change", "expected"), CHANGES, ids=[field for field, _, _ in CHANGES])
def test_what_makes_pods_new(engine: str, field: str, change: dict[str, Any], expected: bool) -> None:
    assert rolls(engine, change) in (expected, None), f"a change of {field} of {engine}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", [{"rollout": {"startupSeconds": 5000}}, {"replicas": 3, "autoscaling": None}])
def test_what_only_a_start_minds_is_taken_along_as_soon_as_a_pod_is_missing(
    engine: str, change: dict[str, Any]
) -> None:
    assert rolls(engine, change, available=0), "a start that was given too little time would never come up"


def test_another_rest_makes_pods_new_at_once() -> None:
    """The server has to be started for it: it waits for no upgrade."""
    gpu = {"resources": {"accelerator": {"count": 1}}}
    context = ModelDeploymentContext(Settings(image="genset"))
    found = running(resource("vllm", gpu), context)
    assert found.running is not None
    found.running["status"] = {"availableReplicas": 9}
    after = workload.deployment(resource("vllm", {**gpu, "autoscaling": {"max": 2, "rest": "Sleep"}}), found)
    assert after is not None
    assert "--enable-sleep-mode" in after["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_table_tells_it() -> None:
    words = {True: "new pods", False: "stay", None: "refused"}
    for field, change, _ in CHANGES:
        cells = " | ".join(words[rolls(engine, change)] for engine in ENGINES)
        assert f"| {field} | {cells} |" in PAGE.read_text(), f"docs/rollouts.md lacks:\n| {field} | {cells} |"


def test_every_field_has_its_row() -> None:
    told = {key for _, change, _ in CHANGES for key in change} | set(APART) | set(BLOCKS.values())
    fields = {field.alias or name for name, field in ModelDeploymentSpec.model_fields.items()}
    assert fields <= told, f"whether a change makes new pods is not told of {fields - told}"
