"""This registry of a ModelDeployment's spec says which engines there are, with the settings of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Annotated, TypeAlias, get_args

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from genset.api.base import ApiModel, CelRule, rules
from genset.api.engines.base import TASK_CEL, EngineSettings, Task, WeightsForm
from genset.api.engines.external import External
from genset.api.engines.llama_cpp import LlamaCpp
from genset.api.engines.llamafile import Llamafile
from genset.api.engines.ollama import Ollama
from genset.api.engines.vllm import Vllm


class EngineBlocks(ApiModel):
    """The spec has one field for each engine. An engine is known by its line here; the first one is the default."""

    llama_cpp: LlamaCpp | None = None
    vllm: Vllm | None = None
    ollama: Ollama | None = None
    llamafile: Llamafile | None = None
    external: External | None = None


#: Name of the field in `EngineBlocks` -> type of the settings in it.
_TYPES: Mapping[str, type[EngineSettings]] = {
    name: next(item for item in get_args(field.annotation) if item is not NoneType)
    for name, field in EngineBlocks.model_fields.items()
}
#: Engine -> name of its field in `EngineBlocks`.
FIELDS: Mapping[str, str] = {settings.engine: name for name, settings in _TYPES.items()}
DEFAULT_ENGINE = next(iter(FIELDS))

_shown = [settings.shown or settings.engine for settings in _TYPES.values()]
ENGINE_DESCRIPTION = f"Model server: {', '.join(_shown[:-1])}, or {_shown[-1]}."

#: The name of one of the engines.
EngineName: TypeAlias = Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(FIELDS)))]


def block_name(engine: str) -> str:
    """Returns the engine's block as the spec has it, e.g. llamaCpp."""
    return str(EngineBlocks.model_fields[FIELDS[engine]].alias)


def engines_that(are: Callable[[type[EngineSettings]], bool]) -> list[str]:
    """Returns the names of the engines whose settings are so, in the order of the registry."""
    return [settings.engine for settings in _TYPES.values() if are(settings)]


def _rules() -> Iterator[CelRule]:
    """Yields rules over the spec: no block without its engine, what each engine refuses, weights if they are wanted."""
    for name, settings in _TYPES.items():
        yield _only_with(name, settings.engine)
        yield from settings.spec_rules
        if set(settings.tasks) != set(Task):
            yield _only_tasks(settings)
    yield _only_parallel()
    yield _only_sleepers()
    loading = engines_that(lambda settings: settings.weights is not WeightsForm.NONE)
    yield CelRule(
        f"!(self.engine in {loading}) || has(self.source)",
        "an engine that genset runs needs source",
        lambda spec: spec.engine not in loading or spec.source is not None,
    )


def _only_with(name: str, engine: str) -> CelRule:
    block = block_name(engine)
    return CelRule(
        f"!has(self.{block}) || self.engine == '{engine}'",
        f"{block} settings need engine {engine}",
        lambda spec: getattr(spec, name) is None or spec.engine == engine,
    )


def _only_tasks(settings: type[EngineSettings]) -> CelRule:
    tasks, engine = [task.value for task in settings.tasks], settings.engine
    missing = next(task for task in Task if task not in settings.tasks)
    others = [one.engine for one in _TYPES.values() if missing in one.tasks]
    return CelRule(
        f"self.engine != '{engine}' || {TASK_CEL} in {tasks}",
        f"engine {engine} has no task but {' and '.join(tasks)}: for {missing} use {' or '.join(others)}",
        lambda spec: spec.engine != engine or spec.task in settings.tasks,
    )


def _only_sleepers() -> CelRule:
    engines = [settings.engine for settings in _TYPES.values() if settings.sleeps]
    return CelRule(
        "!has(self.autoscaling) || !has(self.autoscaling.rest) || self.autoscaling.rest != 'Sleep' || "
        f"(self.engine in {engines} && has(self.resources) && has(self.resources.accelerator) && "
        "(!has(self.parallelism) || !has(self.parallelism.nodes) || self.parallelism.nodes == 1))",
        f"autoscaling.rest Sleep needs an engine that can free its accelerator and stay ({', '.join(engines) or 'none can'}), "
        "resources.accelerator, and one pod a replica: use rest Scale",
        lambda spec: (
            not spec.sleeps or (spec.engine in engines and spec.resources.accelerator is not None and spec.nodes == 1)
        ),
    )


def _only_parallel() -> CelRule:
    engines = [settings.engine for settings in _TYPES.values() if settings.parallel]
    return CelRule(
        f"!has(self.parallelism) || self.engine in {engines}",
        f"parallelism needs an engine that is told how to split a model: {' or '.join(engines) or 'none is'}; others "
        "split it over all accelerators by themselves",
        lambda spec: spec.parallelism is None or spec.engine in engines,
    )


rules(*_rules())(EngineBlocks)
