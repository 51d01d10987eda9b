"""What only a pod's start minds: how long it may take, and whether the download asks its source anew.

A change of it is no reason to end a pod that serves (`desired.kept`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genset import names
from genset.contracts.puller import SWITCHES
from genset.engines.base import STARTUP_VARIABLES, Object

_PROBE = ("periodSeconds", "failureThreshold")


def without(template: Object) -> Object:
    """Returns a template without that."""
    return _changed(template, _engine_without, lambda one: {**one, "args": _unsettled(one)})


def as_live(template: Object, live: Object) -> Object:
    """Returns a template with that as the pod `live`, a pod's spec, has it."""
    engines = {one["name"]: one for one in live.get("containers") or ()}
    pullers = {one["name"]: one for one in live.get("initContainers") or ()}
    return _changed(
        template,
        lambda one: _engine_as(one, engines.get(one["name"])),
        lambda one: _puller_as(one, pullers.get(one["name"])),
    )


def _changed(template: Object, engine: Callable[[Object], Object], puller: Callable[[Object], Object]) -> Object:
    spec = dict(template["spec"])
    spec["containers"] = [engine(one) if one["name"] == names.ENGINE_CONTAINER else one for one in spec["containers"]]
    if spec.get("initContainers"):
        spec["initContainers"] = [
            puller(one) if one["name"] == names.WEIGHTS_CONTAINER and one.get("args") else one
            for one in spec["initContainers"]
        ]
    return {**template, "spec": spec}


def _engine_without(container: Object) -> Object:
    out = dict(container)
    if out.get("startupProbe"):
        out["startupProbe"] = {key: value for key, value in out["startupProbe"].items() if key not in _PROBE}
    if out.get("env"):
        out["env"] = [one for one in out["env"] if one["name"] not in STARTUP_VARIABLES]
    return out


def _engine_as(container: Object, live: Object | None) -> Object:
    if live is None:
        return container
    out, probe = dict(container), live.get("startupProbe") or {}
    if out.get("startupProbe"):
        out["startupProbe"] = {**out["startupProbe"], **{key: probe[key] for key in _PROBE if key in probe}}
    told = {one["name"]: one for one in live.get("env") or () if one["name"] in STARTUP_VARIABLES}
    if out.get("env"):
        out["env"] = [told.get(one["name"], one) for one in out["env"]]
    return out


def _puller_as(container: Object, live: Object | None) -> Object:
    """Takes the live one's arguments if they differ in the switch alone."""
    theirs = list((live or {}).get("args") or ())
    same = sorted(_unsettled(container)) == sorted(_unsettled({"args": theirs}))
    return {**container, "args": theirs} if same and len(theirs) != len(container["args"]) else container


def _unsettled(container: Object) -> list[Any]:
    return [arg for arg in container["args"] if arg != SWITCHES["settled"]]
