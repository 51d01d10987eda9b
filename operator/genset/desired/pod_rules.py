"""What a podTemplate may say is judged here against the pod that genset makes of the same resource.

Whoever may create a ModelDeployment or a RoutePolicy need not be allowed to create pods. So a podTemplate says where pods
run, how large they are and what they are called, and nothing that would make them somebody else's: no further container,
image, volume, account, security setting or Secret. The operator's setting `podTemplate: Full` lifts that for clusters in
which the same people may create pods anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genset.api.bounds import cores_fault, memory_fault
from genset.api.fault import FieldFault
from genset.api.pod_template import PodTemplate
from genset.api.quantity import parse_quantity
from genset.desired import pod_path, refused_names
from genset.desired.pod_security import IDS
from genset.engines.base import Object

ALLOWED_FIELDS = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "priorityClassName",
    "runtimeClassName",
    "imagePullSecrets",
)
#: Of a container that genset makes, beside its name.
ALLOWED_OF_CONTAINERS = ("env", "resources")
#: Ids that a namespace may assign instead: without them the pod is restricted all the same.
REMOVABLE_IDS = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy")
_ASSIGNED = frozenset(f"spec.securityContext.{one}" for one in IDS)  # may be left out where they are not there, too
_CONTAINERS = ("containers", "initContainers")
_SOURCES = ("fieldRef", "resourceFieldRef")  # of a variable's value: what the pod may know of itself
_OURS = "genset.dev/"
_NAMED = 8  # fields that a message lists
_BOUNDS = {"memory": memory_fault, "cpu": cores_fault}

_ADMINISTRATOR = "or have an administrator run the operator with podTemplate: Full"


@dataclass(frozen=True)
class _Judged:
    """This is one podTemplate beside the pod that it changes. `at` is its own path in the resource."""

    own: Object
    patch: PodTemplate
    at: str
    variables: tuple[str, ...]  # that are refused, by how they begin

    def fault(self, where: str, why: str = "") -> FieldFault:
        field = f"{self.at}.{where}"
        reason = why or "is not among the fields that a podTemplate may set"
        return FieldFault(field, f"{field} {reason}: take it out, {_ADMINISTRATOR}")


def faults(
    own: Object, patch: PodTemplate | None, at: str, *, full: bool, variables: tuple[str, ...] = ()
) -> Iterator[FieldFault]:
    """Yields what of a podTemplate cannot be taken. `own` is the pod before it, `at` the podTemplate's own path, `variables`
    those that it may not set beside `refused_names.VARIABLES`.

    With `full` only genset's own keys and paths that name nothing are among it: everything else is between the user and the
    API server.
    """
    if patch is None:
        return
    judged = _Judged(own, patch, at, (*refused_names.VARIABLES, *variables))
    yield from _ours(judged)
    if not full:
        yield from _metadata(judged)
        yield from _spec(judged)
    for index, path in enumerate(patch.remove):
        if path not in _ASSIGNED and not pod_path.is_there(own["spec"], path):
            yield _names_nothing(own["spec"], path, f"{at}.remove[{index}]")
        elif not full and not _may_go(path, judged.variables):
            field = f"{at}.remove[{index}]"
            yield FieldFault(
                field, f"{field}: {path} is not among the fields that may be left out: take it out, {_ADMINISTRATOR}"
            )


def _ours(judged: _Judged) -> Iterator[FieldFault]:
    own, added = judged.own["metadata"], judged.patch.metadata
    for name, given in (("labels", added.labels), ("annotations", added.annotations)):
        for key in given:
            if key.startswith(_OURS) and key not in own.get(name, {}):
                field = f"{judged.at}.metadata.{name}[{key}]"
                yield FieldFault(field, f"{field} is under {_OURS}, where genset alone writes: take it out")


def _metadata(judged: _Judged) -> Iterator[FieldFault]:
    added = judged.patch.metadata
    refused = [f"metadata.labels[{key}]" for key in added.labels if refused_names.is_refused_label(key)]
    refused += [f"metadata.annotations[{key}]" for key in added.annotations if refused_names.is_refused_annotation(key)]
    for where in refused:
        yield judged.fault(
            where,
            "orders something for the pod that its author may not be allowed to have (a device, a network, an image, a "
            "command, a role)",
        )


def _spec(judged: _Judged) -> Iterator[FieldFault]:
    for field, value in judged.patch.spec.items():
        if field in _CONTAINERS and isinstance(value, Sequence) and not isinstance(value, str):
            names = {item["name"] for item in judged.own["spec"].get(field, ())}
            yield from _twice(judged, f"spec.{field}", value)
            for index, item in enumerate(value):
                yield from _container(judged, f"spec.{field}", names, index, item)
        elif field not in ALLOWED_FIELDS:
            yield judged.fault(f"spec.{field}")
        elif field == "priorityClassName" and str(value).startswith(refused_names.SYSTEM_PRIORITY):
            yield judged.fault(
                f"spec.{field}", f"{value} is for Kubernetes' own pods, before which all others give way"
            )


def _container(judged: _Judged, where: str, names: set[str], index: int, item: Any) -> Iterator[FieldFault]:
    name = item.get("name") if isinstance(item, Mapping) else None
    if name not in names:
        shown, whose = name or index, " and ".join(sorted(names)) or "none"
        yield judged.fault(f"{where}[{shown}]", f"is no container of genset's, which has {whose} here")
        return
    for field, value in item.items():
        here = f"{where}[{name}].{field}"
        if field == "name":
            continue
        if field == "env" and isinstance(value, Sequence) and not isinstance(value, str):
            yield from _twice(judged, here, value)
            for variable in value:
                yield from _variable(judged, here, variable)
        elif field == "resources" and (value is None or isinstance(value, Mapping)):
            for kind, amounts in (value or {}).items():
                if kind not in ("requests", "limits", "$patch"):
                    yield judged.fault(f"{here}.{kind}")
                elif isinstance(amounts, Mapping):
                    yield from _quantities(judged, f"{here}.{kind}", amounts)
        else:
            yield judged.fault(here)


def _quantities(judged: _Judged, where: str, amounts: Mapping[str, Any]) -> Iterator[FieldFault]:
    """Yields what is no quantity, of which the API server would not say where it stands; and forgotten units."""
    for name, amount in amounts.items():
        if name == "$patch" or amount is None:
            continue
        field = f"{judged.at}.{where}[{name}]"
        try:
            nothing = parse_quantity(str(amount)) == 0  # asked for, that is: whatever there is
        except ValueError as problem:
            yield FieldFault(field, f"{field}: {problem}")
            continue
        if not nothing and name in _BOUNDS and (fault := _BOUNDS[name](field, str(amount))):
            yield FieldFault(field, fault)


def _twice(judged: _Judged, where: str, items: Sequence[Any]) -> Iterator[FieldFault]:
    """Yields each name that stands in a list twice: of what is said of it, only a part would hold."""
    names = [item.get("name") for item in items if isinstance(item, Mapping)]
    for name in dict.fromkeys(name for name in names if isinstance(name, str) and names.count(name) > 1):
        field = f"{judged.at}.{where}[{name}]"
        yield FieldFault(field, f"{field} stands there twice: put what is meant into one")


def _variable(judged: _Judged, where: str, item: Any) -> Iterator[FieldFault]:
    name = item.get("name") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(name, str):
        yield judged.fault(where, "holds a variable without a name")
        return
    here = f"{where}[{name}]"
    if refused_names.is_refused_variable(name, judged.variables) or name in refused_names.SET_BY_NOBODY:
        yield judged.fault(here, "could load code, show further devices or undo what the operator has decided")
    source = item.get("valueFrom")
    if source is not None and not isinstance(source, Mapping):
        yield judged.fault(f"{here}.valueFrom")
    for kind in source if isinstance(source, Mapping) else ():
        if kind not in _SOURCES:
            yield judged.fault(f"{here}.valueFrom.{kind}", "reads an object that its author may not be allowed to read")


def _may_go(path: str, variables: tuple[str, ...]) -> bool:
    """Returns whether a field that genset sets may be left out without a right that only creators of pods have."""
    (field, key), *rest = pod_path.steps(path)
    if field in ALLOWED_FIELDS:
        return True
    if field == "securityContext":
        return not key and len(rest) == 1 and rest[0] in {(name, "") for name in REMOVABLE_IDS}
    if field not in _CONTAINERS or not rest or rest[0][0] not in ALLOWED_OF_CONTAINERS:
        return False
    part, named = rest[0]
    return part != "env" or bool(named and not refused_names.is_refused_variable(named, variables))


def _names_nothing(spec: Object, path: str, field: str) -> FieldFault:
    known, names = pod_path.there_instead(spec, path)
    shown = ", ".join(names[:_NAMED]) + (" and more" if len(names) > _NAMED else "")
    under = f" ({known} has {shown})" if shown else ""
    return FieldFault(
        field, f"{field}: {path} names nothing that genset sets in these pods{under}: correct the path, or take it out"
    )
