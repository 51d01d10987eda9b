"""An upgrade of the operator alone makes no engine's pods new: what only it would change stays as it is in the cluster.

The puller is the operator's own image, the pull policy its own setting, and so are bounds that no resource names. None of them
changes what a pod serves, and a pod that is made anew loads its model for minutes, perhaps downloads it. They follow with the
next change that makes pods new anyway.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from genset import names
from genset.api.pod_template import PodTemplate
from genset.contracts.puller import BOUNDS, SWITCHES
from genset.desired import scratch
from genset.engines.base import Object

_LISTS = ("initContainers", "containers")


def template_hash(template: Object, patch: PodTemplate | None, max_size: str | None = None) -> str:
    """Returns a digest of what makes pods new: a template without what may stay, and what the user has said of it himself.

    `max_size` is source.maxSize.
    """
    template = scratch.without(template)
    spec = {**template["spec"], **{entries: [_lasting(one) for one in template["spec"][entries]] for entries in _LISTS}}
    said = patch.model_dump(mode="json", by_alias=True) if patch is not None else None
    bound = [] if max_size is None else [max_size]
    text = json.dumps([{**template, "spec": spec}, said, *bound], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def as_running(template: Object, digest: str, running: Object | None) -> Object:
    """Returns the template with puller, pull policies and bounds of the Deployment as it runs, if its pods are of this
    digest."""
    annotations = (running or {}).get("metadata", {}).get("annotations") or {}
    if running is None or annotations.get(names.ANNOTATION_TEMPLATE_HASH) != digest:
        return template
    live = running["spec"]["template"]["spec"]
    template = scratch.as_live(template, live)
    spec = {
        **template["spec"],
        **{entries: [_kept(one, live.get(entries) or ()) for one in template["spec"][entries]] for entries in _LISTS},
    }
    return {**template, "spec": spec}


def _lasting(container: Object) -> Object:
    out = {key: value for key, value in container.items() if key != "imagePullPolicy"}
    if container["name"] == names.WEIGHTS_CONTAINER:
        out.pop("image", None)
        out["args"] = _without_bounds(out.get("args") or [])
    return out


def _without_bounds(args: list[str]) -> list[str]:
    valued = {at for at, arg in enumerate(args) if arg in BOUNDS and arg not in SWITCHES.values()}
    return [arg for at, arg in enumerate(args) if arg not in BOUNDS and at - 1 not in valued]


def _kept(container: Object, live: Any) -> Object:
    found = next((one for one in live if one.get("name") == container["name"]), None)
    if found is None:
        return container
    kept = {"imagePullPolicy": found.get("imagePullPolicy") or container.get("imagePullPolicy")}
    if container["name"] == names.WEIGHTS_CONTAINER:
        kept["image"], kept["args"] = found["image"], found.get("args")
    return {**container, **{key: value for key, value in kept.items() if value is not None}}
