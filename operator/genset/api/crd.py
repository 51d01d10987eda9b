"""The CustomResourceDefinitions are made from the types: what the API server enforces comes from the same source as
what we check.

Pure: types in, dicts out. Pydantic writes JSON Schema; this module turns it into Kubernetes' structural schema
(apiextensions-apiserver pkg/apiserver/schema): no references, no nulls, no `additionalProperties: false` (unknown
fields are refused or pruned by the API server itself), rules as CEL. Decisions:

- a nested object that is never absent gets its fields' defaults as its default, spelled out, because the API server
  checks rules against the default before it fills it in;
- items of lists have no defaults, because Argo CD compares lists as a whole and would show them out of sync for ever;
  the types fill them in, and the description tells them;
- empty lists, maps and strings are no defaults: absent means the same and keeps users' objects short;
- status has no defaults: the operator writes it whole;
- fields that a type inherits stand behind its own;
- an enum is the types' order, the first being what most people want.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from genset import names
from genset.api.base import CelRule, rules_of
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import QUANTITY_PATTERN
from genset.api.routepolicy import RoutePolicy

Schema = dict[str, Any]

_INT32_MAX = 2**31 - 1
_KEPT = (
    "type", "format", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "minItems", "maxItems", "minProperties", "maxProperties", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
)  # fmt: skip


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE = _column("Age", ".metadata.creationTimestamp", "Time since it was made.", kind="date")
_COLUMNS: dict[str, list[Schema]] = {
    names.MODEL_DEPLOYMENT: [
        _column("Model", ".status.model", "Name of the model as served."),
        _column("Engine", ".spec.engine", "Model server."),
        _column("Wanted", ".status.desiredReplicas", "Replicas that there should be now.", kind="integer"),
        _column("Up", ".status.readyReplicas", "Replicas that answer.", kind="integer"),
        _column("Ready", _condition("Ready", "status"), "True: a real completion succeeded."),
        _column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
        _column("Size", ".status.size.class", "Small, Medium or Large, by parameters in total.", wide=True),
        _column("Speed", ".status.size.speed", "Fast, Moderate or Slow, by parameters that a token uses.", wide=True),
        _column("Scaled-By", ".status.scaling.owner", "Who decides how many replicas there are.", wide=True),
        _column(
            "Per-Hour", ".status.price.reservedPerHour", "What its replicas cost the house for an hour.", wide=True
        ),
        _column("Loaded", ".status.weights.percent", "Percent of the weights on disk.", kind="integer", wide=True),
        _column("URL", ".status.url", "Base URL of the OpenAI API inside the cluster.", wide=True),
        _column("Message", _condition("Ready", "message"), "What to know or do.", wide=True),
        _AGE,
    ],
    names.ROUTE_POLICY: [
        _column("Wanted", ".spec.router.replicas", "Routers asked for.", kind="integer"),
        _column("Up", ".status.readyReplicas", "Routers that serve.", kind="integer"),
        _column("Programmed", _condition("Programmed", "status"), "True: every router serves this generation."),
        _column("Ready", _condition("Ready", "status"), "True: programmed, and all routers are up."),
        _column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
        _column("Zones", ".status.dataZones", "Data zones that requests may be answered in."),
        _column("Outage", ".status.outages[0].reason", "What routers see as down; the first of status.outages."),
        _column("URL", ".status.url", "Base URL for clients inside the cluster."),
        _column("Spent", ".status.spent", "Of the budget of which most is spent.", wide=True),
        _column("Local", ".status.houseShare", "Answers of the house, of routes with a localShare.", wide=True),
        _column("Message", _condition("Ready", "message"), "What to know or do.", wide=True),
        _AGE,
    ],
}
_SHORT_NAMES = {names.MODEL_DEPLOYMENT: "mdep", names.ROUTE_POLICY: "rp"}
_SUBRESOURCES: dict[str, Schema] = {
    names.MODEL_DEPLOYMENT: {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    },
    names.ROUTE_POLICY: {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.router.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    },
}


def definitions() -> dict[str, Schema]:
    """Returns file name -> CustomResourceDefinition, of both kinds."""
    kinds: dict[str, type[BaseModel]] = {names.MODEL_DEPLOYMENT: ModelDeployment, names.ROUTE_POLICY: RoutePolicy}
    return {f"{names.GROUP}_{names.PLURALS[kind]}.yaml": _definition(kind, cls) for kind, cls in kinds.items()}


def _definition(kind: str, cls: type[BaseModel]) -> Schema:
    plural = names.PLURALS[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [_SHORT_NAMES[kind]],
                "categories": ["genset"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": _SUBRESOURCES[kind],
                    "additionalPrinterColumns": _COLUMNS[kind],
                    "schema": {"openAPIV3Schema": structural_schema(cls)},
                }
            ],
        },
    }


def structural_schema(cls: type[BaseModel]) -> Schema:
    """Returns the structural schema of a resource: spec and status, with metadata left to Kubernetes."""
    raw = cls.model_json_schema(by_alias=True, schema_generator=_WithRules)
    spec, status = (_structural(raw["properties"][name], raw["$defs"]) for name in ("spec", "status"))
    root: Schema = {
        "type": "object",
        "description": raw["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the type, genset.dev/v1alpha1."},
            "kind": {"type": "string", "description": f"Kind of the resource, {cls.__name__}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _without_defaults(status),
        },
    }
    return {**root, **({"x-kubernetes-validations": cel} if (cel := raw.get("x-kubernetes-validations")) else {})}


class _WithRules(GenerateJsonSchema):
    """This is Pydantic's generator, with each type's CEL rules, and a mark (`default: {}`) if a type is the default."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        out = super().default_schema(schema)
        factory: Any = schema.get("default_factory")
        return {**out, "default": {}} if isinstance(factory, type) and issubclass(factory, BaseModel) else out

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        out = super().model_schema(schema)
        fields, declared = schema["cls"].model_fields, schema["cls"].__annotations__
        own = {str(field.alias) for name, field in fields.items() if name in declared}
        out["properties"] = dict(sorted(out.get("properties", {}).items(), key=lambda item: item[0] not in own))
        if found := rules_of(schema["cls"]):
            out["x-kubernetes-validations"] = [_validation(rule) for rule in found]
        return out


def _validation(rule: CelRule) -> Schema:
    telling = {"messageExpression": rule.telling} if rule.telling else {}
    return {"rule": rule.expression, "message": rule.message, **telling}


def _structural(node: Schema, defs: Schema) -> Schema:
    """Returns one node of the JSON Schema as Kubernetes wants it."""
    node = _resolved(node, defs)
    if node.get("x-genset-quantity"):
        return _quantity(node)
    out: Schema = {key: node[key] for key in _KEPT if key in node}
    if node.get("type") == "integer":
        out.setdefault("format", "int32" if node.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64")
    if "items" in node:
        out["items"] = _without_defaults(_structural(node["items"], defs), told=True)
    if properties := node.get("properties"):
        out["properties"] = {name: _property(child, defs) for name, child in properties.items()}
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        out["additionalProperties"] = _structural(extra, defs)
    if (default := node.get("default")) == {}:
        fields = out.get("properties", {})
        out["default"] = {name: child["default"] for name, child in fields.items() if "default" in child}
    elif isinstance(default, bool | int | float) or (isinstance(default, str) and default != ""):
        out["default"] = default
    return out


def _property(node: Schema, defs: Schema) -> Schema:
    """Returns the schema of a field. One that the last release does not know has no default (`base.LATER`)."""
    made = _structural(node, defs)
    return _without_defaults(made, told=True) if node.get("x-genset-later") else made


def _resolved(node: Schema, defs: Schema) -> Schema:
    """Returns the node without references and `X | None`, which means "may be absent".

    The field's words beat the type's.
    """
    if "anyOf" in node:
        (kind,) = [item for item in node["anyOf"] if item.get("type") != "null"]
        node = {**kind, **{key: value for key, value in node.items() if key not in ("anyOf", "default")}}
    if "allOf" in node:
        (kind,) = node["allOf"]
        node = {**kind, **{key: value for key, value in node.items() if key != "allOf"}}
    if "$ref" in node:
        target = _resolved(defs[node["$ref"].rsplit("/", 1)[-1]], defs)
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _quantity(node: Schema) -> Schema:
    """Returns the schema of a quantity: a number or a string, as in Kubernetes' own types; never below zero."""
    out: Schema = {
        "description": node["description"],
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": QUANTITY_PATTERN,
        "minimum": 0,
        "maxLength": node["maxLength"],
    }
    if "default" in node:
        out["default"] = node["default"]
    return out


def _without_defaults(node: Schema, *, told: bool = False) -> Schema:
    """Returns the node with no default in it. `told`: the description says what absent means instead."""
    out = {key: value for key, value in node.items() if key != "default"}
    if told and "default" in node and not isinstance(node["default"], dict):
        out["description"] = f"{node['description']} Default: {node['default']}."
    if "properties" in out:
        out["properties"] = {name: _without_defaults(child, told=told) for name, child in out["properties"].items()}
    if "items" in out:
        out["items"] = _without_defaults(out["items"], told=told)
    return out
