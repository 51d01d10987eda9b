"""Capabilities are what a backend can do besides answering in text."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules

_WORDS = (
    "vision", "audio", "files", "tools", "parallelTools", "forcedTools", "jsonSchema", "logprobs", "severalAnswers", "reasoning",
)  # fmt: skip


@rules(
    CelRule(
        " || ".join(f"has(self.{word})" for word in _WORDS),
        "capabilities says nothing: set one of its fields, or leave it out",
        lambda said: bool(said.model_fields_set),
    )
)
class Capabilities(ApiModel):
    """What the backend can do. Requests that need what it lacks pass it by; if nobody is left: 400 `policy_capability`."""

    vision: bool | None = Field(
        default=None, description="It sees pictures. Default: a cloud does; the house does with a projector."
    )
    audio: bool | None = Field(default=None, description="It hears. Default: a cloud does, the house does not.")
    files: bool | None = Field(
        default=None, description="It reads documents, such as PDF. Default: a cloud does, the house does not."
    )
    tools: bool | None = Field(default=None, description="It calls tools. Default: true.")
    parallel_tools: bool | None = Field(default=None, description="It calls several tools at once. Default: true.")
    forced_tools: bool | None = Field(
        default=None, description="It can be made to call a tool, or a certain one (tool_choice). Default: true."
    )
    json_schema: bool | None = Field(
        default=None, alias="jsonSchema", description="It answers by a JSON schema. Default: true."
    )
    logprobs: bool | None = Field(default=None, description="It tells log probabilities. Default: true.")
    several_answers: bool | None = Field(default=None, description="It gives several answers (n). Default: true.")
    reasoning: bool | None = Field(default=None, description="It takes reasoning_effort. Default: true.")
