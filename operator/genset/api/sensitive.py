"""What of a route's requests is too sensitive to leave the house, and what becomes of such a request."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules
from genset.sensitive.engine import MOST_EXPRESSIONS, BadPattern
from genset.sensitive.engine import pattern as compiled


class SensitiveKind(StrEnum):
    """What can be looked for. Each is one file of `genset.sensitive.kinds`."""

    IBAN = "iban"
    CREDIT_CARD = "creditCard"
    EMAIL = "email"
    PHONE = "phone"
    TAX_ID = "taxId"
    NATIONAL_ID = "nationalId"
    PRIVATE_KEY = "privateKey"


class SensitiveThen(StrEnum):
    """What becomes of a request in which something was found."""

    HOUSE = "House"
    REFUSE = "Refuse"


@lru_cache(maxsize=4096)  # a resource is read at each look at it, and its routes often share their expressions
def _why_not(regex: str) -> str:
    try:
        compiled(regex)
    except BadPattern as problem:
        return str(problem)
    return ""


@rules(
    CelRule(
        "!''.matches(self.regex)",
        "sensitive.patterns: a regex matches the empty text, and so every request; write what must be there",
        lambda pattern: not _why_not(pattern.regex),
        tell=lambda pattern: (
            f"sensitive.patterns[{pattern.name}].regex cannot be used: {_why_not(pattern.regex)}; write it in RE2's syntax"
        ),
    )
)
class SensitivePattern(ApiModel):
    """What the house itself calls sensitive."""

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        min_length=1,
        max_length=63,
        examples=["case-number"],
        description="Name, for errors, log and metrics.",
    )
    regex: str = Field(
        min_length=1,
        max_length=512,
        examples=[r"AZ-\d{6}"],
        description="Regular expression in RE2's syntax, searched for anywhere in the text; (?i) before it for any case.",
    )


Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", max_length=2, examples=["DE"])]


@rules(
    CelRule(
        "(has(self.detect) && self.detect.size() > 0) || (has(self.patterns) && self.patterns.size() > 0)",
        "sensitive looks for nothing: name kinds in detect, or patterns of your own, or leave it out",
        lambda sensitive: bool(sensitive.detect or sensitive.patterns),
    ),
    CelRule(
        "!has(self.countries) || self.countries.size() == 0 || (has(self.detect) && ['phone', 'taxId', 'nationalId'].exists(k, "
        "k in self.detect))",
        "sensitive.countries needs phone, taxId or nationalId in detect: nothing else depends on a country",
        lambda s: not s.countries or any(kind.value in ("phone", "taxId", "nationalId") for kind in s.detect),
    ),
)
class Sensitive(ApiModel):
    """What of the requests is looked for, by the router itself, before anything is sent. See docs/data-zones.md."""

    detect: list[Annotated[SensitiveKind, Field(strict=False)]] = Field(
        default_factory=list,
        max_length=16,
        description="Kinds to look for: numbers count with right check digits. iban; creditCard; email; phone (with + or 00); "
        "taxId and nationalId (the forms that can be told from other numbers); privateKey (and tokens).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    countries: list[Country] = Field(
        default_factory=list,
        max_length=16,
        description="Countries (ISO 3166) whose own ways of writing count, too: phone numbers without +, tax and national "
        "numbers that might be any number. They bring false alarms.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    patterns: list[SensitivePattern] = Field(
        default_factory=list,
        max_length=16,
        description=f"Expressions of your own; a policy may have {MOST_EXPRESSIONS} different ones.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    then: SensitiveThen = Field(
        default=SensitiveThen.HOUSE,
        strict=False,
        description="House: the request goes to backends in zone house alone. Refuse: it is answered 403.",
    )


def refuse_too_many(routes: Any) -> None:
    """Refuses routes with more different expressions than a policy may have. Raises ValueError before one of them is compiled.

    `routes` is what somebody has written: anything.
    """
    found = set(_expressions(routes))
    if len(found) > MOST_EXPRESSIONS:
        raise ValueError(
            f"sensitive.patterns: the routes have {len(found)} different expressions, and {MOST_EXPRESSIONS} is the most: join "
            "some by |, or make another policy"
        )


def _expressions(routes: Any) -> Iterator[str]:
    for route in routes if isinstance(routes, list) else ():
        sensitive = route.get("sensitive") if isinstance(route, dict) else None
        patterns = sensitive.get("patterns") if isinstance(sensitive, dict) else None
        for pattern in patterns if isinstance(patterns, list) else ():
            if isinstance(pattern, dict) and isinstance(pattern.get("regex"), str):
                yield pattern["regex"]
