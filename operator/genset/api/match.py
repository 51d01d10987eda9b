"""A match says which requests a route takes: by the model's name, the size of the prompt, headers, and what they look like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules
from genset.api.shape import MatchShape

ModelPattern = Annotated[
    str, Field(pattern=r"^[^\x00-\x20\x7f*]*\*?$", min_length=1, max_length=128, examples=["team-*"])
]


class HeaderMatch(ApiModel):
    """A header that the request must carry."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$",
        min_length=1,
        max_length=128,
        examples=["x-team"],
        description="Name, in any case.",
    )
    value: str = Field(
        pattern=r"^([^\x00-\x20\x7f]([^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$",
        max_length=512,
        examples=["gold"],
        description="Exact value; blanks around one and control characters never arrive.",
    )


@rules(
    CelRule(
        "!has(self.headers) || [self.headers.map(h, h.name.lowerAscii())].all(n, n.all(x, n.exists_one(y, y == x)))",
        "match.headers: a name stands there twice, in small letters and capitals: headers have no case; take one out",
        lambda match: len({header.name.lower() for header in match.headers}) == len(match.headers),
    ),
)
class Match(ApiModel):
    """Which requests a route takes. All given conditions must hold; an empty match takes everything."""

    models: list[ModelPattern] = Field(
        default_factory=list,
        max_length=64,
        description="Names in the request's model field, exact, or with a * at the end. Empty: any.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    max_input_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Largest prompt, in tokens as the router estimates them (four bytes of text a token).",
    )
    headers: list[HeaderMatch] = Field(
        default_factory=list,
        max_length=16,
        description="Headers that the request must carry, all of them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    shape: MatchShape | None = Field(
        default=None, description="What requests look like. Default: nobody looks, which costs nothing."
    )
