"""Says of each route which requests it takes, and which backends answer them in which order.

Nothing has a default here. Pure.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genset.contracts.config_parts import ConfigPart, Label, ModelPattern, Seconds, Zone, each_once


class LeftOutConfig(ConfigPart):
    """A backend was left out of a route, because it is in none of the route's data zones."""

    backend: Label
    zone: Zone


class HeaderMatchConfig(ConfigPart):
    name: str = Field(pattern=r"^[a-z0-9!#$%&'*+\-.^_`|~]+$", examples=["x-team"], description="In small letters.")
    value: str = Field(pattern=r"^([^ \t\r\n]([^\r\n]*[^ \t\r\n])?)?$", examples=["gold"])


#: What of a request is a number; yes is 1 and no is 0.
ShapeNumber = Literal[
    "promptTokens", "answerTokens", "turns", "tools", "forcedTool", "openToolLoop", "images", "audio", "files", "schema",
    "enumsOnly", "schemaFields", "schemaDepth", "codePercent", "questions", "systemWords",
]  # fmt: skip

TaskWord = Literal["Classify", "Extract", "Summarise", "Translate", "Code", "Reason", "Converse", "Agent"]


class ShapeRangeConfig(ConfigPart):
    """A number of a request has to be in a range, both ends in it; None: no end."""

    number: ShapeNumber
    at_least: int | None = Field(default=None, ge=0)
    at_most: int | None = Field(default=None, ge=0)


class ShapeTimeConfig(ConfigPart):
    """Requests come at a time of the day, in minutes since midnight, and on some days; 0 is Monday.

    `until_minute` at or before `from_minute` is one of the next day.
    """

    from_minute: int = Field(ge=0, lt=1440)
    until_minute: int = Field(ge=0, le=1440)
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field(min_length=1)
    time_zone: str = Field(min_length=1, examples=["Europe/Berlin"])


class ShapeConfig(ConfigPart):
    """A shape is what requests look like; None: anything."""

    numbers: tuple[ShapeRangeConfig, ...] | None = Field(default=None, min_length=1)
    tasks: tuple[TaskWord, ...] | None = Field(default=None, min_length=1)
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$", examples=["de"])], ...] | None = Field(
        default=None, min_length=1
    )
    time: ShapeTimeConfig | None = None

    @model_validator(mode="after")
    def _numbers_once(self) -> Self:
        each_once("numbers", [one.number for one in self.numbers or ()])
        return self


class MatchConfig(ConfigPart):
    models: tuple[ModelPattern, ...]
    max_input_tokens: int | None = Field(default=None, ge=1)
    headers: tuple[HeaderMatchConfig, ...]
    shape: ShapeConfig | None = Field(default=None, description="None: nobody looks.")

    @model_validator(mode="after")
    def _headers_once(self) -> Self:
        each_once("headers", [header.name for header in self.headers])
        return self


class WeightedBackend(ConfigPart):
    backend: str
    weight: int = Field(ge=0)


ToCloudOn = Literal["Unreachable", "Cold", "Full", "TooLate", "ServerError", "TooLong", "Unsupported"]


class FailoverConfig(ConfigPart):
    """The times of failover are seconds; None means the router's own default for the kind of backend."""

    first_token_seconds: Seconds | None = None
    stall_seconds: Seconds | None = None
    total_seconds: Seconds
    max_attempts: int = Field(ge=1)
    continue_streams: bool
    rebuild_answers: bool
    to_cloud_on: tuple[ToCloudOn, ...]


class ColdStartConfig(ConfigPart):
    """A cold start is what a request does while a backend is at rest. Times are seconds."""

    mode: Literal["Hold", "Bridge"]
    seconds: Seconds


class SensitivePatternConfig(ConfigPart):
    name: Label
    regex: str = Field(min_length=1)


class SensitiveConfig(ConfigPart):
    """What is looked for in the requests of a route. `countries`: whose own forms of numbers count, too (ISO 3166)."""

    detect: tuple[Literal["iban", "creditCard", "email", "phone", "taxId", "nationalId", "privateKey"], ...]
    countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["DE"])], ...]
    patterns: tuple[SensitivePatternConfig, ...]
    then: Literal["House", "Refuse"]


class ResponseConfig(ConfigPart):
    """This is how answers look. `model`: which name they tell, that of the backend's model or the one that was asked for."""

    model: Literal["Actual", "Asked"]


class LocalShareConfig(ConfigPart):
    """The answers of a route are counted, those of the house apart, over a window that moves with the time."""

    window_seconds: int = Field(ge=60)


class RouteConfig(ConfigPart):
    name: Label
    match: MatchConfig
    tiers: tuple[Annotated[tuple[WeightedBackend, ...], Field(min_length=1)], ...]
    failover: FailoverConfig
    cold_start: ColdStartConfig
    when_full: Literal["NextTier", "Wait"]
    data_zones: tuple[Zone, ...] | None = Field(default=None, description="Zones that the route allows; None: all.")
    left_out: tuple[LeftOutConfig, ...] | None = Field(
        default=None, description="Backends of its tiers that are in no zone that it may use, told in errors alone."
    )
    sensitive: SensitiveConfig | None = Field(default=None, description="None: nothing is looked for.")
    response: ResponseConfig | None = None
    local_share: LocalShareConfig | None = Field(default=None, description="None: nobody wants to know it.")

    @model_validator(mode="after")
    def _backends_once(self) -> Self:
        for tier in self.tiers:
            each_once("tiers", [weighted.backend for weighted in tier])
        return self
