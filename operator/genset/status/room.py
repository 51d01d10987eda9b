"""No room: what is said of pods that no node takes, with what would fit, and where.

The scheduler's own words say what is lacking now, and whether it would help to evict others: if that helps on no node, none could
take the pod, were it empty, and nobody has to wait for room. If the operator may list nodes, it names the nearest of them, and
what of the model would fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from genset.api.modeldeployment import ModelDeployment, Reason
from genset.desired import autoscale, needs
from genset.desired.model_use import (
    companion_bytes,
    is_pooled,
    kept_prompts,
    placement_of,
    serving_of,
    use_of,
)
from genset.engines import managed_engine_of
from genset.sizing import fit as fits
from genset.sizing import memory
from genset.sizing.fit import Ask, requantised
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts
from genset.sizing.nodes import Node
from genset.sizing.quantisation import FILE_BITS, smaller
from genset.status.conditions import Verdict
from genset.status.observed import ModelDeploymentObserved, requested
from genset.status.size import text

Nodes = tuple[Node, ...] | None  # of the cluster, as they are when empty; None: not looked at, or no right to
LEAST_TOKENS = 1024
_WORTH_IT = 0.8  # a smaller quantisation is named from this share of the bits on
_WORTH_A_WORD = 0.95  # of what is needed: a change that saves less is not named
_NOT_HELPFUL = re.compile(
    r"preemption: 0/(?P<all>\d+) nodes are available: (?P<nodes>\d+) Preemption is not helpful for scheduling\.?\s*$"
)
_SEPARATOR = re.compile(r",\s*(?=\d+ )|\.\s+(?=\S)")
_LASTING = re.compile(
    r"^(\d+ )?(Insufficient \S+|node\(s\) didn't match Pod's node affinity/selector"
    r"|node\(s\) had untolerated taint(\(s\)| ?\{(?!node\.kubernetes\.io/)[^}]*\})|no new claims to deallocate)$"
)
_DISK = "ephemeral-storage"


def asks(resource: ModelDeployment, observed: ModelDeploymentObserved) -> bool:
    """Says whether it matters which nodes there are: a pod finds none, or is to be made later."""
    if managed_engine_of(resource) is None:
        return False
    resting = autoscale.replicas(resource, observed.scaling) == 0
    return resting or any(pod.unscheduled for pod in observed.pods)


def told(
    resource: ModelDeployment,
    model: ModelFacts | None,
    verdict: Verdict | None,
    observed: ModelDeploymentObserved,
    known: Nodes,
) -> Verdict | None:
    """Returns the verdict that no node takes a pod, with whether one ever could, what its model needs, and what would fit."""
    if verdict is None or verdict.reason != Reason.UNSCHEDULABLE:
        return verdict
    found, wanted = [verdict.message], requested(observed.deployment)
    nodes = [node for node in known or () if node.ready]
    none = bool(nodes) and not any(takes(node, wanted) for node in nodes)
    never = none or any(never_fits(pod.unscheduled) for pod in observed.pods)
    if never:
        found.append(f"none of today could, were it empty: the pod asks for {amounts(wanted)}")
    if none:
        found[-1] += f", and the nearest, {_of(min(nodes, key=lambda node: _lack(node, wanted)), wanted)}"
        if model is not None and (less := _would_fit(resource, model, nodes)):
            found.append(less)
    if model is not None and not is_pooled(resource):
        found.append(_needs(resource, model))
    reason = Reason.NO_NODE_FITS if never else verdict.reason
    return replace(verdict, reason=reason, message="; ".join(found), needs_person=never or verdict.needs_person)


def never_fits(words: str) -> bool:
    """Says whether a scheduler's words mean that no node could take a pod, were it empty.

    kube-scheduler tries to evict others, and tells on how many nodes that is of no use: those that have less in all than the pod
    asks for (noderesources/fit.go, since 1.32), or that it may not run on. What may pass by itself does not count: nodes that
    are cordoned or not ready, claims of devices and volumes that others hold. (From 1.34 on taints have no names here: a node
    that is not ready then counts as none of today's.)
    """
    found = _NOT_HELPFUL.search(words)
    if found is None or found["all"] != found["nodes"]:
        return False
    lacks = words[: found.start()].partition(":")[2]
    parts = [part.strip(" .,") for part in _SEPARATOR.split(lacks) if part.strip()]
    return bool(parts) and all(_LASTING.match(part) for part in parts)


def hopeless(observed: ModelDeploymentObserved, known: Nodes) -> Verdict | None:
    """Returns the warning, before there is a pod, that no node of today could take one."""
    wanted = requested(observed.deployment)
    nodes = [node for node in known or () if node.ready]
    if not wanted or not nodes or any(takes(node, wanted) for node in nodes):
        return None
    nearest = min(nodes, key=lambda node: _lack(node, wanted))
    words = f"No node of today could take a pod, which asks for {amounts(wanted)}: the nearest, {_of(nearest, wanted)}"
    return Verdict("True", Reason.NO_NODE_FITS, words)


def takes(node: Node, wanted: Mapping[str, int]) -> bool:
    """Says whether a node could take a pod that asks for so much, were it empty. What is not known of it is no obstacle."""
    return all(amount <= _has(node, name) for name, amount in wanted.items() if name != _DISK)


def amounts(wanted: Mapping[str, int]) -> str:
    """Writes what a pod asks for: cores, memory, and what else there is."""
    order = [name for name in ("cpu", "memory") if name in wanted]
    order += [name for name in wanted if name not in (*order, _DISK)]
    return ", ".join(_amount(name, wanted[name]) for name in order)


def _has(node: Node, name: str) -> int:
    if name == "cpu":
        return int(node.cpu * 1000)
    if name == "memory":
        return node.memory
    return sum(one.count for one in node.accelerators if one.resource == name)


def _lack(node: Node, wanted: Mapping[str, int]) -> float:
    """Returns how far a node is from taking a pod: accelerators count most, then shares of memory and cores."""
    shares = {name: max(0, amount - _has(node, name)) / amount for name, amount in wanted.items() if amount}
    return sum(share * (1 if name in ("cpu", "memory") else 10) for name, share in shares.items() if name != _DISK)


def _of(node: Node, wanted: Mapping[str, int]) -> str:
    return f"{node.name}, has {amounts({name: _has(node, name) for name in wanted})}"


def _amount(name: str, amount: int) -> str:
    if name == "cpu":
        return f"{amount / 1000:g} core{'' if amount == 1000 else 's'}"
    return f"{text(amount)} of memory" if name == "memory" else f"{amount} {name}"


def _would_fit(resource: ModelDeployment, model: ModelFacts, nodes: Sequence[Node]) -> str:
    """Says which node the model would fit as it is, with other requests, or with what; "" if nothing is found."""
    projector, adapters = companion_bytes(resource)
    accelerator = resource.spec.resources.accelerator
    ask = Ask(use_of(resource), is_pooled(resource), kept_prompts(resource), projector, adapters, on_cpu=True)
    if accelerator is not None:
        ask = replace(
            ask, on_cpu=False, place=placement_of(resource), vendor=accelerator.vendor, resource=accelerator.resource_name,
            tensor=serving_of(resource).tensor,
        )  # fmt: skip
    for node in sorted(nodes, key=lambda node: -node.memory):
        found = fits.fit(model, node, ask)
        if found.fits:
            return f"the model itself would fit {node.name}: ask for {text(found.host)} of memory or a little more"
        if found.remedies:
            return f"it would fit {node.name} with {' or '.join(found.remedies)}"
    return ""


def _needs(resource: ModelDeployment, model: ModelFacts) -> str:
    use, on_gpus = use_of(resource), resource.spec.resources.accelerator is not None

    def side(found: memory.Memory) -> memory.Share:
        return found.device if on_gpus else found.host

    share = side(needs.of_server(resource, model))
    where = "on each accelerator" if on_gpus else "of memory"
    less = [
        f"{text(side(found).total)} with {change}"
        for change, found in _lesser(resource, model, use)
        if side(found).total < share.total * _WORTH_A_WORD
    ]
    words = f"its model needs about {text(share.total)} {where} ({text(share.weights)} of weights)"
    return f"{words}{': ' if less else ''}{', '.join(less)}"


def _lesser(resource: ModelDeployment, model: ModelFacts, use: ModelUse) -> Iterable[tuple[str, memory.Memory]]:
    """Yields changes of a spec that take less memory, and what is needed then."""
    if use.slots > 1:
        yield "spec.context.parallel 1", needs.of_server(resource, model, replace(use, slots=1))
    if use.tokens >= 2 * LEAST_TOKENS:
        half = use.tokens // 2
        yield f"half of spec.context.tokens ({half})", needs.of_server(resource, model, replace(use, tokens=half))
    name = next((one for one in smaller("", model.bits) if FILE_BITS[one] < model.bits * _WORTH_IT), None)
    if name is not None:
        yield f"weights of {name}", needs.of_server(resource, requantised(model, name), use)
