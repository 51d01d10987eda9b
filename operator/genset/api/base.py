"""Both resources share the strict base type, Kubernetes scalars, references and conditions.

The types are the single source of the CRDs (see `crd`), of the reference pages and of every default. A field that is
not declared here is refused by the API server (structural schema, strict field validation) and by `genset router -f`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from genset.addresses import CIDR
from genset.api.quantity import parse_quantity

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"  # RFC 1123 label
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


#: Names that children can be derived from: a Service takes RFC 1035 labels of 63 characters, suffix included.
RESOURCE_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
RESOURCE_NAME_LENGTH = 52
RESOURCE_NAME_CEL = (
    f"self.metadata.name.size() <= {RESOURCE_NAME_LENGTH} && self.metadata.name.matches('{RESOURCE_NAME}')"
)


def is_resource_name(name: str) -> bool:
    return len(name) <= RESOURCE_NAME_LENGTH and re.fullmatch(RESOURCE_NAME, name) is not None


#: Marks a field with a default that the last release does not know (`json_schema_extra=LATER`): the CRD leaves the default to
#: the type. An API server fills defaults into resources that exist, and an operator of the last release, which runs beside
#: the new CRD during an upgrade and after a rollback, refuses resources with fields that it does not know.
LATER: dict[str, Any] = {"x-genset-later": True}


@dataclass(frozen=True)
class CelRule:
    """A rule is one CEL rule of a type (`x-kubernetes-validations`), checked by the API server and, with `check`, by
    us.

    `expression` is what the API server evaluates; `check` says the same in Python for files that never meet an API
    server (`genset router -f`). `check` is None only for transition rules (they compare with `oldSelf`). Where a message can
    say what to write for the given value, `telling` makes it in CEL (messageExpression) and `tell` in Python.
    """

    expression: str
    message: str
    check: Callable[[Any], bool] | None = None
    telling: str = ""
    tell: Callable[[Any], str] | None = None


class ApiModel(BaseModel):
    """This is the base of every type: camelCase on the wire, unknown fields refused, immutable, rules checked.

    It gives the verdicts that the API server gives by the CRD: no conversions ("3" is no number), null means absent,
    lists with keys hold each key once.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """Drops nulls, as the API server prunes them before it defaults and validates; templates make them easily."""
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value

    def model_post_init(self, _context: Any) -> None:
        for name, alias, keys in _lists_without_duplicates(type(self)):
            _refuse_duplicates(alias, keys, getattr(self, name))
        for rule in rules_of(type(self)):
            if rule.check is not None and not rule.check(self):
                raise ValueError(rule.tell(self) if rule.tell is not None else rule.message)


@cache
def _lists_without_duplicates(cls: type[BaseModel]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Returns name, alias and keys of the fields that the API server checks by `x-kubernetes-list-type`; a set has no keys."""
    found = []
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra
        keys = extra.get("x-kubernetes-list-map-keys") if isinstance(extra, dict) else None
        if isinstance(keys, list):
            found.append((name, str(field.alias), tuple(str(key) for key in keys)))
        elif isinstance(extra, dict) and extra.get("x-kubernetes-list-type") == "set":
            found.append((name, str(field.alias), ()))
    return tuple(found)


def _refuse_duplicates(alias: str, keys: tuple[str, ...], value: Any) -> None:
    """Refuses what `x-kubernetes-list-type: map` and `set` make the API server refuse."""
    if not isinstance(value, list):
        return
    seen = [tuple(getattr(item, key) for key in keys) for item in value] if keys else [(item,) for item in value]
    if len(set(seen)) < len(seen):
        key = next(key for key in seen if seen.count(key) > 1)
        raise ValueError(f"{alias} holds {', '.join(map(repr, key))} twice: each may stand there once")


def rules(*items: CelRule) -> Callable[[type[ApiModel]], type[ApiModel]]:
    """Attaches CEL rules to a type, as its decorator."""

    def attach(cls: type[ApiModel]) -> type[ApiModel]:
        cls.__genset_rules__ = (*rules_of(cls), *items)  # type: ignore[attr-defined]
        return cls

    return attach


def rules_of(cls: type[BaseModel]) -> tuple[CelRule, ...]:
    return tuple(getattr(cls, "__genset_rules__", ()))


def _quantity(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, float):  # the API server's int-or-string takes no fractions either
        raise ValueError(f'{value} is a fraction: write it in quotes, "{value}", or with a unit, e.g. 500m')
    if isinstance(value, str):
        parse_quantity(value)  # raises with the remedy
    return value


NESTING = 32  # maps and lists inside one another; no type of Kubernetes has half of it


def _shallow(value: Any) -> Any:
    """Refuses a part of somebody else's object that nests deeper than any: nothing could walk it."""
    level = [value]
    for _ in range(NESTING):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return value
    raise ValueError(f"it nests deeper than {NESTING} maps and lists: no object of Kubernetes does; correct it")


#: A part of an object of Kubernetes that the API server alone knows the fields of.
Fragment = Annotated[dict[str, Any], BeforeValidator(_shallow)]

#: A Kubernetes quantity ("500m", "2Gi", 4). Kept as written; `quantity.parse_quantity` gives its value.
Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    Field(json_schema_extra={"x-genset-quantity": True}, max_length=32),
]

Cidr = Annotated[str, Field(pattern=CIDR, max_length=43, examples=["10.0.0.0/8"])]
Name = Annotated[str, Field(pattern=DNS_SUBDOMAIN, min_length=1, max_length=253, examples=["house-small"])]
ModelName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$",
        min_length=1,
        max_length=128,
        examples=["qwen/qwen3-8b"],
    ),
]


class SecretKeyRef(ApiModel):
    """A key of a Secret in the namespace of the resource."""

    name: Name = Field(description="Name of the Secret, in the same namespace.")
    key: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        examples=["api-key"],
        description="Key inside the Secret's data.",
    )


def secret_refs(block: ApiModel) -> list[tuple[str, SecretKeyRef]]:
    """Returns (field, reference) of every Secret that a block names itself; those of blocks inside it are not among
    them."""
    found = ((str(field.alias), getattr(block, name)) for name, field in type(block).model_fields.items())
    return [(alias, value) for alias, value in found if isinstance(value, SecretKeyRef)]


class Condition(ApiModel):
    """metav1.Condition, as kstatus, Argo CD and Flux read it."""

    type: str = Field(min_length=1, max_length=316, description="CamelCase name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="CamelCase reason of the last transition, one of the documented constants.",
    )
    message: str = Field(default="", max_length=32768, description="What a person should know or do.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec that this condition speaks of."
    )
    last_transition_time: str = Field(
        description="When the status last flipped (RFC 3339).", json_schema_extra={"format": "date-time"}
    )


class ObjectMeta(BaseModel):
    """This is the part of Kubernetes' ObjectMeta that the pure core reads.

    Unknown fields are Kubernetes' own and kept out.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, validate_by_name=True)

    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
