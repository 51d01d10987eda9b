"""Names the kinds of text and numbers that the router's configuration is made of, each with what it refuses.

Nothing has a default here. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from genset.addresses import (
    HOST_AND_PORT,
    PROXY_REMEDY,
    URL_REMEDY,
    base_url_mistake,
    is_collector,
    is_host,
    is_network,
    is_proxy_url,
    is_url,
    origin_mistake,
)
from genset.data_zones import ZONE, ZONE_CHARACTERS

ADAPTERS_FOLDER: Final = (
    "adapters"  # its name stands before that of an adapter, in the path of a file that llama-server loads
)
LONGEST_SECONDS: Final = 604_800  # of any time in a configuration: what no timer can be set to is no time
ForwardedHeaders = Literal["Trace", "Idempotency", "Attribution"]  # groups of headers


def good(mistake: Callable[[str], str]) -> AfterValidator:
    """Refuses text for which `mistake` finds words: what is wrong with it and what to write, never the text itself."""

    def check(value: str) -> str:
        if words := mistake(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def known_to_reader(registry: str) -> AfterValidator:
    """Refuses a name that the reading program has nothing for, in the words of a Literal. See `RouterConfig.from_json`."""

    def check(value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get(registry)
        if known is not None and value not in known:
            expected = ", ".join(f"'{name}'" for name in known)
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value

    return AfterValidator(check)


def each_once(field: str, values: Collection[str]) -> None:
    if len(set(values)) < len(values):
        twice = sorted(value for value, times in Counter(values).items() if times > 1)
        raise ValueError(f"{field}: {', '.join(twice)} twice; each may stand there once")


Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Label = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63, examples=["frontier"])
]
FileName = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253, examples=["frontier.key"])]
HttpPath = Annotated[str, Field(pattern=r"^/[!-~]*$", examples=["/health"])]
ModelPattern = Annotated[str, Field(pattern=r"^[^*]*\*?$", min_length=1, examples=["team-*"])]
Host = Annotated[str, good(lambda value: "" if is_host(value) else f"names no host: {HOST_AND_PORT}")]
BaseUrl = Annotated[str, good(base_url_mistake)]
ProxyUrl = Annotated[str, good(lambda value: "" if is_proxy_url(value) else f"names no server: {PROXY_REMEDY}")]
Collector = Annotated[str, good(lambda value: "" if is_collector(value) else f"names no server: {URL_REMEDY}")]
KeySetUrl = Annotated[str, good(lambda value: "" if is_url(value) else f"names no server: {URL_REMEDY}")]
LedgerUrl = KeySetUrl
Origin = Annotated[str, good(origin_mistake)]
Zone = Annotated[str, Field(pattern=ZONE, max_length=ZONE_CHARACTERS, examples=["house"])]
Network = Annotated[
    str, good(lambda value: "" if is_network(value) else "is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8")
]


class ConfigPart(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )
