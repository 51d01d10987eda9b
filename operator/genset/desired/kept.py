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
the next roll-out takes them along, and nothing waits for it. Memory that follows from such a size is one of them, with one
exception: pods that have less than their model needs, of which none is available, are made anew if that downloads nothing.
What only a start minds, e.g. how long it may take, makes no pod new that serves: it is taken along as soon as one is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import genset
from genset import names
from genset.api.quantity import whole
from genset.contracts.puller import BOUNDS, SWITCHES
from genset.desired import scratch, starts
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
    before: str = ""  # `asked` as a release has read it in which the memory had a default
    derived: bool = False  # the memory follows from the model's size
    may_grow: bool = False  # new pods download nothing


@dataclass(frozen=True)
class Running:
    """This is what there is: the Deployment as it is in the cluster, and the child that bears its record."""

    deployment: Object | None = None
    bearer: Object | None = None

    @property
    def of_another_release(self) -> bool:
        """Returns whether the pods were made by another release than this one."""
        before = PodsRecord.of(self.bearer)
        return self.deployment is not None and (before is None or before.release != genset.__version__)


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
    made = fingerprint(wanted.template, wanted.said, wanted.derived)
    record = PodsRecord(genset.__version__, made, wanted.asked, wanted.shape, genset.__version__, wanted.operator)
    live, before = running.deployment, PodsRecord.of(running.bearer)
    if live is None or _asks_for_new(wanted, before):
        return Settlement(wanted.template, record)
    if wanted.may_grow and _starves(live, wanted.template):
        return Settlement(wanted.template, record)
    same = Settlement(_as_running(wanted.template, live, wanted.derived), record)
    if before is not None and before.made == made:
        return same
    applied = template_of(live, names.FIELD_MANAGER)
    if applied is None or overridden(live, names.FIELD_MANAGER, wanted.template):
        return Settlement(wanted.template, record)
    lasting, was = (_plain(_lasting(one, wanted.derived)) for one in (wanted.template, applied))
    fields = tuple(_differences(lasting, was, ""))
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


def fingerprint(template: Object, said: Any, derived: bool = False) -> str:
    """Returns a hash of what makes pods new: a template without its bounds, and what the user has said of these himself.
    `derived`: the memory is one of them."""
    return digest([_lasting(template, derived), said])


def digest(value: Any) -> str:
    """Returns a hash of anything that JSON can say."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _asks_for_new(wanted: WantedPods, before: PodsRecord | None) -> bool:
    """Returns whether the user has asked for other pods than those that run."""
    if before is None:
        return not wanted.seen
    if before.by == genset.__version__:
        return before.asked != wanted.asked and before.shape != wanted.shape
    return before.asked not in (wanted.asked, wanted.before)


def _starves(live: Object, wanted: Object) -> bool:
    """Returns whether there are pods with less memory than is wanted for them, and none of them is available."""
    status = live.get("status") or {}
    if not status.get("replicas") or status.get("availableReplicas"):
        return False
    has, needs = (_memory(one) for one in (live["spec"]["template"], wanted))
    return 0 < has < needs


def _memory(template: Object) -> int:
    """Returns the bytes that the engine's container asks for."""
    every = template["spec"].get("containers") or ()
    engine: Object = next((one for one in every if one.get("name") == names.ENGINE_CONTAINER), {})
    return whole(str(((engine.get("resources") or {}).get("requests") or {}).get("memory", "0")))


def _bounds(derived: bool) -> tuple[str, ...]:
    return (scratch.EPHEMERAL, "memory") if derived else (scratch.EPHEMERAL,)


def _lasting(template: Object, derived: bool) -> Object:
    """Returns a template without the bounds, and what only a start minds, which may change under pods that stay."""
    template = starts.without(scratch.without(template, _bounds(derived)))
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


def _as_running(template: Object, live: Object, derived: bool) -> Object:
    """Returns a template as the pods that run have it, in what need not make them new."""
    spec, status = live["spec"], live.get("status") or {}
    template = _bounds_as_running(template, spec["template"]["spec"], derived)
    serve = 0 < (spec.get("replicas") or 0) <= (status.get("availableReplicas") or 0)
    return starts.as_live(template, spec["template"]["spec"]) if serve else template


def _bounds_as_running(template: Object, live: Object, derived: bool) -> Object:
    """Returns a template with the bounds of the pods that run, if they differ in nothing else."""
    template = scratch.as_live(template, live, _bounds(derived))
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
