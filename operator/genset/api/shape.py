"""A shape says what a request looks like: how long it is, what it holds, what it asks for, in which language, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules
from genset.api.cron import TimeZone


class AskedTask(StrEnum):
    """What a request asks a model to do."""

    CLASSIFY = "Classify"
    EXTRACT = "Extract"
    SUMMARISE = "Summarise"
    TRANSLATE = "Translate"
    CODE = "Code"
    REASON = "Reason"
    CONVERSE = "Converse"
    AGENT = "Agent"


class Weekday(StrEnum):
    """A day of the week."""

    MONDAY = "Mon"
    TUESDAY = "Tue"
    WEDNESDAY = "Wed"
    THURSDAY = "Thu"
    FRIDAY = "Fri"
    SATURDAY = "Sat"
    SUNDAY = "Sun"


@rules(
    CelRule(
        "has(self.atLeast) || has(self.atMost)",
        "match.shape: a range is empty: give it atLeast, atMost or both, or take it out",
        lambda between: between.at_least is not None or between.at_most is not None,
    ),
    CelRule(
        "!has(self.atLeast) || !has(self.atMost) || self.atLeast <= self.atMost",
        "match.shape: atLeast of a range is more than its atMost, so that no request is in it",
        lambda between: between.at_least is None or between.at_most is None or between.at_least <= between.at_most,
    ),
)
class Between(ApiModel):
    """A range of numbers, both ends in it."""

    at_least: int | None = Field(default=None, ge=0, le=100_000_000, description="Smallest number. Default: 0.")
    at_most: int | None = Field(default=None, ge=0, le=100_000_000, description="Largest number. Default: any.")


_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
Clock = Annotated[str, Field(pattern=_CLOCK, max_length=5, examples=["22:00"])]


@rules(
    CelRule(
        "has(self.from) == has(self.until)",
        "match.shape.time: from and until belong together: give both, or neither for whole days",
        lambda time: (time.from_ is None) == (time.until is None),
    ),
    CelRule(
        "has(self.from) || has(self.days)",
        "match.shape.time says nothing: give from and until, days, or all of them",
        lambda time: time.from_ is not None or time.days is not None,
    ),
    CelRule(
        "!has(self.from) || !has(self.until) || self.from != self.until",
        "match.shape.time: from is until: for whole days take both out",
        lambda time: time.from_ is None or time.from_ != time.until,
    ),
)
class ShapeTime(ApiModel):
    """When a request comes, by the clock of a time zone."""

    from_: Clock | None = Field(default=None, alias="from", description="First minute. Default: the whole day.")
    until: Clock | None = Field(
        default=None,
        description="First minute after it. Before `from`: of the next day, which belongs to the day on which it began.",
    )
    days: list[Annotated[Weekday, Field(strict=False)]] | None = Field(
        default=None,
        min_length=1,
        max_length=7,
        description="Days of the week. Default: every day.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    time_zone: TimeZone | None = Field(
        default=None, description="Whose clock is meant, by its name in the time zone database. Default: UTC."
    )


#: Fields of a shape, as resources have them.
_SAID = (
    "task", "promptTokens", "answerTokens", "turns", "tools", "forcedTool", "openToolLoop", "images", "audio", "files",
    "schema", "enumsOnly", "schemaFields", "schemaDepth", "codePercent", "questions", "systemWords", "languages", "time",
)  # fmt: skip
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", max_length=3, examples=["de"])]


@rules(
    CelRule(
        "[" + ", ".join(f"has(self.{name})" for name in _SAID) + "].exists(said, said)",
        "match.shape is empty: say what requests look like, or take it out",
        lambda shape: any(getattr(shape, name) is not None for name in type(shape).model_fields),
    ),
)  # fmt: skip
class MatchShape(ApiModel):
    """What requests look like. All that is given must hold. See docs/shapes.md."""

    task: list[Annotated[AskedTask, Field(strict=False)]] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="What is asked for, one of these, by the rules of docs/shapes.md. Converse is what they cannot tell. Only "
        "requests for text have one.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    prompt_tokens: Between | None = Field(
        default=None, description="Tokens of the prompt, as maxInputTokens counts them."
    )
    answer_tokens: Between | None = Field(
        default=None,
        description="Limit of the answer that the request sets. Without one it is in no range with atMost.",
    )
    turns: Between | None = Field(default=None, description="Messages of the user.")
    tools: Between | None = Field(default=None, description="Tools that the model is offered.")
    forced_tool: bool | None = Field(default=None, description="Whether the model must call a tool.")
    open_tool_loop: bool | None = Field(
        default=None, description="Whether the model is to go on from the result of a tool that it has called."
    )
    images: Between | None = Field(default=None, description="Pictures and videos in the messages.")
    audio: Between | None = Field(default=None, description="Recordings in the messages.")
    files: Between | None = Field(default=None, description="Files in the messages.")
    schema_: bool | None = Field(
        default=None, alias="schema", description="Whether the answer has to follow a JSON schema."
    )
    enums_only: bool | None = Field(
        default=None, description="Whether that schema leaves only choices: words of lists, and true or false."
    )
    schema_fields: Between | None = Field(
        default=None, description="Fields of that schema, inner ones too; 0 without one."
    )
    schema_depth: Between | None = Field(
        default=None, description="Objects and lists of that schema inside one another; 0 without one."
    )
    code_percent: Between | None = Field(
        default=None, description="How much of the user's last message is source code."
    )
    questions: Between | None = Field(default=None, description="Questions in the user's last message.")
    system_words: Between | None = Field(default=None, description="Words of the system prompt.")
    languages: list[Language] | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        description="Language in which the user writes, one of these (ISO 639: en, de, zh …). One that cannot be told is none.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    time: ShapeTime | None = Field(default=None, description="When the request comes.")
