"""The resources of the preset are one ModelDeployment and one RoutePolicy, as a user would write them."""

from __future__ import annotations

from typing import Any

from genset import names
from genset.api.accelerator import RESOURCES
from genset.preset.choice import Choice
from genset.preset.settings import NAME, Preset, Standby
from genset.sizing.nodes import MIB, Accelerators

Object = dict[str, Any]
#: A cluster may have Windows nodes without taints.
_ON_LINUX: Object = {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}
_WAKING_SECONDS = 600  # that a request waits for a model at rest: to read a large one from a slow disk takes minutes


def model_deployment(preset: Preset, choice: Choice) -> Object:
    """Returns the ModelDeployment of a choice."""
    entry = choice.entry
    resources: Object = {"cpu": f"{choice.cores:g}", "memory": f"{-(-choice.memory // MIB)}Mi"}
    if choice.accelerators is not None:
        resources["accelerator"] = _accelerator(choice.accelerators, str(entry.memory.accelerator))
    spec: Object = {
        "model": entry.name,
        "source": entry.source,
        # The stand-in has to start while the world is away.
        **({"cache": {"size": str(entry.download)}} if entry.download is not None else {}),
        "context": {"tokens": entry.context.tokens, "parallel": entry.context.parallel},
        "resources": resources,
        "podTemplate": _ON_LINUX,
    }
    if preset.standby is Standby.COLD:
        spec["autoscaling"] = {"min": 0, "max": 1, "idleSeconds": preset.idle_seconds}
    return _resource(names.MODEL_DEPLOYMENT, preset, spec)


def _accelerator(found: Accelerators, memory: str) -> Object:
    """Asks for an accelerator as large as the one that was found, where labels can say so."""
    asked: Object = {"vendor": found.vendor, "count": 1}
    if found.resource not in ("", RESOURCES[found.vendor]):
        asked["resource"] = found.resource
    elif found.vendor == "nvidia":
        asked["memory"] = memory
    elif found.product:
        asked["products"] = [found.product]
    return asked


def route_policy(preset: Preset) -> Object:
    """Returns the RoutePolicy: the cloud first, the house when that is gone."""
    cloud = preset.cloud.model_dump(by_alias=True, exclude_none=True, mode="json")
    route: Object = {"name": "all", "tiers": [{"backends": [{"name": "cloud"}]}, {"backends": [{"name": "house"}]}]}
    if preset.standby is Standby.COLD:
        route["coldStart"] = {"mode": "Hold", "seconds": _WAKING_SECONDS}
    backends = [{"name": "cloud", "cloud": cloud}, {"name": "house", "deployment": {"name": NAME}}]
    spec = {"backends": backends, "routes": [route], "router": {"podTemplate": _ON_LINUX}}
    return _resource(names.ROUTE_POLICY, preset, spec)


def _resource(kind: str, preset: Preset, spec: Object) -> Object:
    metadata = {"name": NAME, "namespace": preset.namespace}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
