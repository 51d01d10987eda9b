"""What a builder may know besides the resource: settings of the operator and facts that the shell has read.

The shell fills these values (from flags, from Secrets, from other resources) so that builders stay pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from genset.api.modeldeployment import ModelDeployment

Object = dict[str, object]


@dataclass(frozen=True)
class Settings:
    """The operator's own settings that shape children. Values come from the chart; see `genset operator --help`."""

    image: str  # the project's own image: weights puller and default router image
    image_pull_policy: str = "IfNotPresent"
    llama_cpp_images: Mapping[str, str] = field(default_factory=dict)  # by vendor: cpu, nvidia, amd, intel
    operator_namespace: str = "genset-system"  # NetworkPolicies let the operator's probe in from here
    allow_host_path: bool = False  # opt-in for source.hostPath
    hugging_face_endpoint: str = ""  # default mirror; empty: the public hub
    image_pull_secrets: tuple[str, ...] = ()  # names of Secrets in the namespaces of the resources
    network_policies: bool = True  # off for clusters whose policies are written by someone else
    monitoring_namespace_labels: Mapping[str, str] = field(default_factory=dict)  # namespaces that may scrape; empty: any


@dataclass(frozen=True)
class RoutePolicyContext:
    """Facts about what a RoutePolicy names. Missing names are absent from the mappings."""

    settings: Settings
    deployments: Mapping[str, ModelDeployment] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # name -> data, decoded


@dataclass(frozen=True)
class ModelDeploymentContext:
    """Facts about what a ModelDeployment names."""

    settings: Settings
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
