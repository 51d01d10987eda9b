"""An upgrade of the operator alone makes no engine's pods new: what only it would change stays as it is in the cluster.

The puller is the operator's own image, and the pull policy its own setting. Neither changes what a pod serves, and a pod that is
made anew loads its model for minutes, perhaps downloads it. They follow with the next change that makes pods new anyway.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from genset import names
from genset.api.pod_template import PodTemplate
from genset.engines.base import Object

_LISTS = ("initContainers", "containers")


def template_hash(template: Object, patch: PodTemplate | None) -> str:
    """Returns a digest of what makes pods new: a template without what may stay, and what the user has said of it himself."""
    spec = {**template["spec"], **{entries: [_lasting(one) for one in template["spec"][entries]] for entries in _LISTS}}
    said = patch.model_dump(mode="json", by_alias=True) if patch is not None else None
    text = json.dumps([{**template, "spec": spec}, said], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def as_running(template: Object, digest: str, running: Object | None) -> Object:
    """Returns the template with puller image and pull policies of the Deployment as it runs, if its pods are of this digest."""
    annotations = (running or {}).get("metadata", {}).get("annotations") or {}
    if running is None or annotations.get(names.ANNOTATION_TEMPLATE_HASH) != digest:
        return template
    live = running["spec"]["template"]["spec"]
    spec = {
        **template["spec"],
        **{entries: [_kept(one, live.get(entries) or ()) for one in template["spec"][entries]] for entries in _LISTS},
    }
    return {**template, "spec": spec}


def _lasting(container: Object) -> Object:
    out = {key: value for key, value in container.items() if key != "imagePullPolicy"}
    if container["name"] == names.WEIGHTS_CONTAINER:
        out.pop("image", None)
    return out


def _kept(container: Object, live: Any) -> Object:
    found = next((one for one in live if one.get("name") == container["name"]), None)
    if found is None:
        return container
    kept = {"imagePullPolicy": found.get("imagePullPolicy") or container.get("imagePullPolicy")}
    if container["name"] == names.WEIGHTS_CONTAINER:
        kept["image"] = found["image"]
    return {**container, **{key: value for key, value in kept.items() if value is not None}}
