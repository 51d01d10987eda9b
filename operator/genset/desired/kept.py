"""An upgrade of the operator by itself makes no pod new that serves: what only the release changes waits.

A Deployment's pods become new at once if the user has asked for other ones: in his resource, or by the annotation
genset.dev/roll on it. What the operator changes by itself (its image, its settings, images that a release brings, arguments
that its code writes) waits until nobody is served, or until the resource says `onUpgrade: Now`; when that is, is decided in
`controllers.upgrades`. Until then the template stays what was applied last, as the API server tells it (`desired.owned`).

The two are told apart by a record: what was asked for (the user's spec, however a release reads it) and its shape (the
template that one release makes of it under settings that never change). If what is asked is the same, the user has changed
nothing. If it differs, the shape says whether the pods are concerned, as long as the same release compares the two; after an
upgrade in the very moment of a change, the change counts. The record stands in an annotation of another child: the API server
takes a new annotation of a Deployment for a new generation, and each upgrade would look like a roll-out.

Bounds of a pod's scratch space and of its download that no resource names, and sizes that became known, are no change at all:
the next roll-out takes them along, and nothing waits for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import genset
from genset import names
from genset.contracts.puller import BOUNDS, SWITCHES
from genset.desired import scratch
from genset.desired.context import Settings
from genset.desired.owned import overridden, template_of
from genset.engines.base import Object

#: Settings that no installation has and no release changes: a template that is made under them is the resource's alone.
UNCHANGING = Settings(image="genset")
_NAMED = 3  # fields that differ, in a message
_DIGITS = 16  # of a hash


@dataclass(frozen=True)
class PodsRecord:
    """A record says of a Deployment's template who has made it, and of what."""

    release: str = ""  # that has made it; "": one that kept no record
    made: str = ""  # hash of the template as it was wanted
    asked: str = ""  # hash of what the user has said that may shape pods
    shape: str = ""  # hash of the template under `UNCHANGING` ...
    by: str = ""  # ... as this release makes it
    operator: str = ""  # that wrote this: two of them, which serve one namespace, meet here

    def to_annotation(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of(cls, bearer: Object | None) -> PodsRecord | None:
        """Reads the record that an object bears; None if there is none that can be read."""
        annotations = (bearer or {}).get("metadata", {}).get("annotations") or {}
        try:
            told = json.loads(annotations.get(names.ANNOTATION_PODS) or "")
            return cls(**{key: str(told[key]) for key in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class WantedPods:
    """This is what the pods should be: the template, and what of it is the user's, as hashes.

    `seen`: the operator has reconciled this generation of the resource before, so what runs is what it asks for.
    """

    template: Object
    said: Any  # of bounds that the template has, by the user
    asked: str
    shape: str
    seen: bool
    operator: str  # NAMESPACE/NAME of its Lease


@dataclass(frozen=True)
class Running:
    """This is what there is: the Deployment as it is in the cluster, and the child that bears its record."""

    deployment: Object | None = None
    bearer: Object | None = None


@dataclass(frozen=True)
class Pending:
    """An upgrade is pending while pods stay as another release, or other settings, have made them."""

    release: str  # that has made them; "": an earlier one
    fields: tuple[str, ...]  # that differ, the first few


@dataclass(frozen=True)
class Settlement:
    """This is what is applied: the template, annotations of its Deployment, the record; and what is kept back."""

    template: Object
    record: PodsRecord
    annotations: Mapping[str, str] = field(default_factory=dict)
    pending: Pending | None = None


def settle(wanted: WantedPods, running: Running, *, upgrade: bool) -> Settlement:
    """Decides between the wanted template and the one that was applied last. `upgrade`: the release may have its way now."""
    made = fingerprint(wanted.template, wanted.said)
    record = PodsRecord(genset.__version__, made, wanted.asked, wanted.shape, genset.__version__, wanted.operator)
    live, before = running.deployment, PodsRecord.of(running.bearer)
    if live is None or _asks_for_new(wanted, before):
        return Settlement(wanted.template, record)
    same = Settlement(_bounds_as_running(wanted.template, live["spec"]["template"]["spec"]), record)
    if before is not None and before.made == made:
        return same
    applied = template_of(live, names.FIELD_MANAGER)
    if applied is None or overridden(live, names.FIELD_MANAGER, wanted.template):
        return Settlement(wanted.template, record)
    fields = tuple(_differences(_plain(_lasting(wanted.template)), _plain(_lasting(applied)), ""))
    if not fields:
        return same
    if upgrade:
        return Settlement(wanted.template, record)
    before = before or PodsRecord()
    old = (live["metadata"].get("annotations") or {}).get(names.ANNOTATION_TEMPLATE_HASH)
    return Settlement(
        applied,
        replace(record, release=before.release, made=before.made),
        {names.ANNOTATION_TEMPLATE_HASH: old} if old is not None else {},
        Pending(before.release, fields[:_NAMED]),
    )


def rolled(template: Object, asked: Mapping[str, str]) -> Object:
    """Returns the template with the mark that a user's annotation genset.dev/roll makes: another value, other pods."""
    value = asked.get(names.ANNOTATION_ROLL)
    if not value:
        return template
    metadata = template["metadata"]
    marked = {**(metadata.get("annotations") or {}), names.ANNOTATION_ROLL: digest(value)}
    return {**template, "metadata": {**metadata, "annotations": marked}}


def fingerprint(template: Object, said: Any) -> str:
    """Returns a hash of what makes pods new: a template without its bounds, and what the user has said of these himself."""
    return digest([_lasting(template), said])


def digest(value: Any) -> str:
    """Returns a hash of anything that JSON can say."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _asks_for_new(wanted: WantedPods, before: PodsRecord | None) -> bool:
    """Returns whether the user has asked for other pods than those that run."""
    if before is None:
        return not wanted.seen
    return before.asked != wanted.asked and (before.by != genset.__version__ or before.shape != wanted.shape)


def _lasting(template: Object) -> Object:
    """Returns a template without the bounds that may change under pods that stay."""
    template = scratch.without(template)
    pullers = [
        {**one, "args": _without_bounds(one["args"])}
        if one["name"] == names.WEIGHTS_CONTAINER and one.get("args")
        else one
        for one in template["spec"].get("initContainers") or ()
    ]
    spec = {**template["spec"], **({"initContainers": pullers} if pullers else {})}
    return {**template, "spec": spec}


def _without_bounds(args: list[str]) -> list[str]:
    valued = {at for at, arg in enumerate(args) if arg in BOUNDS and arg not in SWITCHES.values()}
    return [arg for at, arg in enumerate(args) if arg not in BOUNDS and at - 1 not in valued]


def _bounds_as_running(template: Object, live: Object) -> Object:
    """Returns a template with the bounds of the pods that run, if they differ in nothing else."""
    template = scratch.as_live(template, live)
    found = {one.get("name"): one.get("args") or [] for one in live.get("initContainers") or ()}
    pullers = []
    for one in template["spec"].get("initContainers") or ():
        args = found.get(one["name"])
        same = args and one.get("args") and _without_bounds(args) == _without_bounds(one["args"])
        pullers.append({**one, "args": args} if same and one["name"] == names.WEIGHTS_CONTAINER else one)
    return {**template, "spec": {**template["spec"], **({"initContainers": pullers} if pullers else {})}}


def _plain(value: Any) -> Any:
    """Returns a value without what the API server takes for nothing."""
    if isinstance(value, Mapping):
        plain = {key: _plain(child) for key, child in value.items()}
        return {key: child for key, child in plain.items() if child or child == {}}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _differences(wanted: Any, applied: Any, path: str) -> Iterator[str]:
    """Yields the fields that differ, as a user would name them."""
    if isinstance(wanted, Mapping) and isinstance(applied, Mapping):
        for key in dict.fromkeys((*wanted, *applied)):
            yield from _differences(wanted.get(key), applied.get(key), f"{path}.{key}" if path else str(key))
    elif _named(wanted) and _named(applied):
        ours, theirs = ({item["name"]: item for item in items} for items in (wanted, applied))
        for name in dict.fromkeys((*ours, *theirs)):
            yield from _differences(ours.get(name), theirs.get(name), f"{path}[{name}]")
    elif wanted != applied:
        yield path


def _named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, Mapping) and "name" in item for item in items)
