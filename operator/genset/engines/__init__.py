"""Engines: what each model server wants on its command line, and how one knows that it is well. Pure.

One file per engine; the registry below is the only place that lists them.
"""

from __future__ import annotations

from genset.api.modeldeployment import EngineName, ModelDeployment
from genset.engines.base import CompletionRequest, DeniedArgument, Drain, Engine, ManagedEngine, Probes
from genset.engines.external import ExternalEngine
from genset.engines.llama_cpp import LlamaCppEngine

ENGINES: dict[EngineName, Engine] = {
    EngineName.LLAMA_CPP: LlamaCppEngine(),
    EngineName.EXTERNAL: ExternalEngine(),
}


def engine_of(resource: ModelDeployment) -> Engine:
    """The engine that a ModelDeployment names."""
    return ENGINES[resource.spec.engine]


def managed_engine_of(resource: ModelDeployment) -> ManagedEngine | None:
    """The engine if genset runs its pods; None for one that runs elsewhere."""
    engine = engine_of(resource)
    return engine if isinstance(engine, ManagedEngine) else None


__all__ = [
    "ENGINES",
    "CompletionRequest",
    "DeniedArgument",
    "Drain",
    "Engine",
    "ManagedEngine",
    "Probes",
    "engine_of",
    "managed_engine_of",
]
