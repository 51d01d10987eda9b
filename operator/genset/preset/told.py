"""What the preset has made is told in words: what it covers, what it costs to hold, and how to take it over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from genset import names
from genset.preset.choice import Choice
from genset.preset.settings import NAME, Preset, Standby
from genset.sizing import speed
from genset.sizing.nodes import GIB

_ANEW = "edit it, or delete it, and it is made anew"


def chosen(preset: Preset, choice: Choice) -> str:
    """Says which model it is, why, and what it costs to hold."""
    entry, device, node = choice.entry, choice.accelerators, choice.spot.node.name
    cores = (
        f"{choice.cores:g} cores"
        if device is None
        else f"one {device.product or device.vendor} and {choice.cores:g} cores"
    )
    rest = f"while it is awake, and {entry.download or 'none'} of disk at rest"
    return (
        f"{entry.name} ({entry.parameters}, licence {entry.licence}): {entry.quality}. Chosen for what node {node} had left; "
        f"about {speed.band(choice.tokens_per_second)} tokens a second. It holds {choice.memory / GIB:.1f} GiB of memory and "
        f"{cores} {'all the time' if preset.standby is Standby.WARM else rest}."
    )


def standing(preset: Preset, deployment: Mapping[str, Any], policy: Mapping[str, Any]) -> str:
    """Says what is there, and where the chart's values say something else by now."""
    model = deployment["spec"].get("model") or NAME
    words = [
        f"{names.MODEL_DEPLOYMENT} and {names.ROUTE_POLICY} {preset.namespace}/{NAME} are there, with model {model}. They are "
        "yours: genset never changes them, whatever a release or the chart's values say.",
        *_differences(preset, deployment, policy),
    ]
    return "\n".join(words)


def _differences(preset: Preset, deployment: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[str]:
    clouds = [backend["cloud"] for backend in policy["spec"].get("backends") or () if backend.get("cloud")]
    wanted = (preset.cloud.provider, preset.cloud.model)
    if wanted not in [(cloud.get("provider"), cloud.get("model")) for cloud in clouds]:
        yield f"The values name {' '.join(wanted)}, which {names.ROUTE_POLICY} {NAME} does not: {_ANEW}."
    rests = (deployment["spec"].get("autoscaling") or {}).get("min") == 0
    if rests != (preset.standby is Standby.COLD):
        yield f"The values say standby {preset.standby}, which {names.MODEL_DEPLOYMENT} {NAME} does not: {_ANEW}."
    if (deployment["spec"].get("model") or NAME) not in [entry.name for entry in preset.catalogue]:
        yield f"Its model is not in the catalogue of today: leave it, or delete {names.MODEL_DEPLOYMENT} {NAME} for another one."
