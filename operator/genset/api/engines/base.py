"""The settings of all engines share which engine they belong to, and what it wants of the rest of a spec."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from genset.api.base import ApiModel, CelRule, SecretKeyRef, secret_refs


class WeightsForm(StrEnum):
    """The form of weights is what an engine loads."""

    GGUF = "GGUF"  # one file, or the shards of one
    FOLDER = "folder"  # of a repository: safetensors, configuration, tokenizer
    NONE = "none"  # its weights are not ours


class Task(StrEnum):
    """What a deployment is asked for."""

    CHAT = "Chat"  # chats and completions
    EMBEDDINGS = "Embeddings"  # vectors of texts
    RERANK = "Rerank"  # documents in the order in which they fit a question


#: spec.task in CEL, where the API server has filled in no default.
TASK_CEL = f"(has(self.task) ? self.task : '{Task.CHAT}')"


class EngineSettings(ApiModel):
    """The settings of one engine are a block of a ModelDeployment's spec that no other engine reads."""

    engine: ClassVar[str]  # value of spec.engine
    shown: ClassVar[str] = ""  # in the description of spec.engine; "": the engine's name
    weights: ClassVar[WeightsForm]
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)  # that it can be started for
    sleeps: ClassVar[bool] = False  # its server can free an accelerator and stay (autoscaling.rest)
    parallel: ClassVar[bool] = False  # whether it takes spec.parallelism
    takes_projector: ClassVar[bool] = False  # it sees pictures by a file beside the model's (spec.projector)
    takes_adapters: ClassVar[bool] = False  # it serves LoRA adapters beside its model (spec.adapters)
    spec_rules: ClassVar[tuple[CelRule, ...]] = ()  # over the whole spec, beside those that every engine has

    def secret_refs(self) -> list[tuple[str, SecretKeyRef]]:
        """Returns (field, reference) of every Secret that the block names."""
        return secret_refs(self)


class ManagedEngineSettings(EngineSettings):
    """These are the settings of an engine whose pods genset makes."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the server: one that the operator or its allowedImages name. Default: the operator's, by "
        "accelerator vendor.",
    )
