"""What both resources say alike of the objects that genset makes of them: labels, annotations, who may be evicted, upgrades."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from genset import names
from genset.api.base import ApiModel, CelRule, rules

_OURS = f"{names.GROUP}/"
#: Labels that genset sets on every child; selectors, watches and dashboards hang on them.
_OUR_LABELS = (
    names.LABEL_NAME,
    names.LABEL_INSTANCE,
    names.LABEL_COMPONENT,
    names.LABEL_PART_OF,
    names.LABEL_MANAGED_BY,
)
#: Where the controllers of Kubernetes write annotations of their own: both would change them for ever.
#: Those of importers and provisioners, on a claim, name what they fetch with rights of their own, and where they write.
_THEIRS = r"^([^/]*\.)?(kubernetes\.io|k8s\.io|cdi\.kubevirt\.io|nfs\.io)/"
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_KEY = rf"^({_PART}([.]{_PART})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_MOST = 32  # labels, and annotations


class DisruptionBudget(StrEnum):
    """Whether evictions take the pods one at a time."""

    AUTO = "Auto"
    NONE = "None"


DISRUPTION_BUDGET = (
    "Auto: a PodDisruptionBudget lets a node drain take one of the pods at a time. None: no budget is made, e.g. because "
    "somebody else writes one. Default: Auto."
)


class OnUpgrade(StrEnum):
    """When pods become new for what only a release of genset, or a setting of the operator, changes of them."""

    WHEN_IDLE = "WhenIdle"
    NOW = "Now"


ON_UPGRADE = (
    "When the pods take what an upgrade of genset, or a setting of the operator, changes of them. WhenIdle: once they serve "
    "nobody, i.e. none is wanted, none of them can start, or none has had a request for some time (chart value "
    "upgradeIdleSeconds). Now: at once, one resource of the namespace after another. What this resource changes itself takes "
    "effect at once either way, and so does a new value of its annotation genset.dev/roll."
)


def _all_keys(field: str, condition: str) -> str:
    return f"!has(self.{field}) || self.{field}.all(k, {condition})"


def are_keys(found: Mapping[str, str]) -> bool:
    """Returns whether Kubernetes takes all keys of labels or annotations."""
    return all(re.fullmatch(LABEL_KEY, key) for key in found)


def are_free(found: Mapping[str, str]) -> bool:
    """Returns whether no key is one that genset alone writes."""
    return not any(key.startswith(_OURS) for key in found)


@rules(
    CelRule(
        _all_keys("labels", f"k.matches(r'{LABEL_KEY}')"),
        "metadataTemplate.labels: a key is NAME or PREFIX/NAME, where NAME has at most 63 of A-Z, a-z, 0-9, -, _ and .",
        lambda template: are_keys(template.labels),
    ),
    CelRule(
        _all_keys("annotations", f"k.matches(r'{LABEL_KEY}')"),
        "metadataTemplate.annotations: a key is NAME or PREFIX/NAME, where NAME has at most 63 of A-Z, a-z, 0-9, -, _ and .",
        lambda template: are_keys(template.annotations),
    ),
    CelRule(
        _all_keys("labels", f"!k.startsWith('{_OURS}') && !(k in {list(_OUR_LABELS)})"),
        f"metadataTemplate.labels: {', '.join(_OUR_LABELS)} and all under {_OURS} are genset's own; choose other keys",
        lambda template: are_free(template.labels) and not set(_OUR_LABELS) & set(template.labels),
    ),
    CelRule(
        _all_keys("annotations", f"!k.startsWith('{_OURS}') && !k.matches(r'{_THEIRS}')"),
        f"metadataTemplate.annotations: all under {_OURS} are genset's own, and those under kubernetes.io, k8s.io, "
        "cdi.kubevirt.io and nfs.io are orders to controllers; choose other keys (a load balancer's belong into "
        "router.service.annotations)",
        lambda template: (
            are_free(template.annotations) and not any(re.match(_THEIRS, key) for key in template.annotations)
        ),
    ),
)
class MetadataTemplate(ApiModel):
    """Labels and annotations of every object that genset makes for the resource.

    Pods get theirs from podTemplate.metadata, so that a change here restarts nothing.
    """

    labels: dict[str, Annotated[str, Field(pattern=LABEL_VALUE, max_length=63, examples=["research"])]] = Field(
        default_factory=dict,
        max_length=_MOST,
        description="Labels, e.g. of a cost center. genset's own cannot be taken.",
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict,
        max_length=_MOST,
        description="Annotations. Secrets and ServiceAccounts, where other controllers read their owner's orders, get those that "
        "the chart's allowedAnnotations name. router.service.annotations win on the Service.",
    )
