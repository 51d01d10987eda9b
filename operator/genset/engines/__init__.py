"""An engine says what its model server wants on its command line, and how one knows that it is well. Pure.

One file per engine; the registry below is the only place that lists them.
"""

from __future__ import annotations

from typing import Any

from genset.api.modeldeployment import ModelDeployment
from genset.engines.base import CompletionRequest, Engine, ManagedEngine, ServerCredentials
from genset.engines.external import ExternalEngine, spec_at
from genset.engines.llama_cpp import LlamaCppEngine
from genset.engines.llamafile import LlamafileEngine
from genset.engines.ollama import OllamaEngine
from genset.engines.vllm import VllmEngine

_ALL: tuple[Engine[Any], ...] = (
    LlamaCppEngine(),
    VllmEngine(),
    OllamaEngine(),
    LlamafileEngine(),
    ExternalEngine(),
)
ENGINES = {engine.name: engine for engine in _ALL}
MANAGED: dict[str, ManagedEngine[Any]] = {
    name: engine for name, engine in ENGINES.items() if isinstance(engine, ManagedEngine)
}


def engine_of(resource: ModelDeployment) -> Engine[Any]:
    """Returns the engine that a ModelDeployment names."""
    return ENGINES[resource.spec.engine]


def managed_engine_of(resource: ModelDeployment) -> ManagedEngine[Any] | None:
    """Returns the engine if genset runs its pods; None for one that runs elsewhere."""
    return MANAGED.get(resource.spec.engine)


__all__ = [
    "ENGINES",
    "MANAGED",
    "CompletionRequest",
    "Engine",
    "ManagedEngine",
    "ServerCredentials",
    "engine_of",
    "managed_engine_of",
    "spec_at",
]
