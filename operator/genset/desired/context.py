"""A context is what a builder may know besides the resource: settings of the operator and facts that the shell has
read.

The shell fills these values (from flags, from Secrets, from other resources) so that builders stay pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genset.api.modeldeployment import ModelDeployment
from genset.contracts.drill import DrillOrder
from genset.desired.autoscale import AWAKE, ScalingDecision
from genset.desired.secrets import UserSecret
from genset.desired.site import Site
from genset.engines.base import Object
from genset.listening import EVERY_ADDRESS
from genset.sizing.model import ModelFacts

__all__ = ["ModelDeploymentContext", "Object", "RoutePolicyContext", "Settings"]


@dataclass(frozen=True)
class Locality:
    """A locality is what the shell has found out about where a resource is."""

    is_known: bool = True  # the operator may read its namespace, and so knows what that says
    assigned_ids: bool = False  # its namespace says as which user its pods run
    site: Site = field(default_factory=Site)
    data_zones: str | None = None  # what its label genset.dev/data-zones says; None: it has none


@dataclass(frozen=True)
class Settings:
    """The operator's own settings shape children. Values come from the chart; see `genset operator --help`."""

    image: str  # the project's own image: weights puller and default router image
    image_pull_policy: str = "IfNotPresent"
    # Images of model servers, by engine and vendor (cpu, nvidia, amd, intel), for resources that name none.
    engine_images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    operator_namespace: str = "genset-system"  # NetworkPolicies let the operator's probe in from here
    allow_host_path: bool = False  # opt-in for source.hostPath
    pod_template: str = "AllowList"  # what podTemplates may say: `pod_rules`, or "Full": everything
    # Images that resources may name beside the operator's own and those of engines; * stands for any text.
    allowed_images: tuple[str, ...] = ()
    # Keys of metadataTemplate's annotations that Secrets and ServiceAccounts get, too; * stands for any text.
    allowed_annotations: tuple[str, ...] = ()
    max_scratch_size: str = "100Gi"  # most that a pod without spec.cache downloads, if its source says nothing else
    hugging_face_endpoint: str = ""  # default mirror; empty: the public hub
    image_pull_secrets: tuple[str, ...] = ()  # names of Secrets in the namespaces of the resources
    network_policies: bool = True  # off for clusters whose policies are written by someone else
    # Namespaces that may scrape. Empty: any may reach the routers' admin port, none an engine's (it is its API, too).
    monitoring_namespace_labels: Mapping[str, str] = field(default_factory=dict)
    # Ports where DNS servers listen, behind their Service (policies see traffic after translation); 5353: OpenShift.
    dns_ports: tuple[int, ...] = (53, 5353)
    dns_networks: tuple[str, ...] = ()  # of DNS servers that are no pods; (): anywhere
    api_server: tuple[str, ...] = ()  # its names and addresses, as far as they are known: no router may dial them
    forbidden_networks: tuple[str, ...] = ()  # further ones that no router may dial for a host that a resource names
    allowed_licences: tuple[str, ...] = ()  # of models, in SPDX's names; empty: all; "unknown": those that name none
    model_class_labels: bool = False  # routers label their metrics with the classes of models
    # Networks of the cluster's own nodes, pods and Services: what leaves the cluster never goes there.
    cluster_cidrs: tuple[str, ...] = ()
    data_zones: tuple[str, ...] = ()  # in which requests may be answered anywhere in the cluster; empty: all
    engine_listen: str = EVERY_ADDRESS  # address that engines listen on; nodes without IPv6 in their kernel: 0.0.0.0
    place: Locality = field(default_factory=Locality)


@dataclass(frozen=True)
class RoutePolicyContext:
    """These are facts about what a RoutePolicy names. Missing names are absent from the mappings."""

    settings: Settings
    deployments: Mapping[str, ModelDeployment] = field(default_factory=dict)
    secrets: Mapping[str, UserSecret] = field(default_factory=dict)  # by name
    # Data of our own credentials Secret as it is in the cluster. While a user's Secret is missing, the backends that
    # need it keep what they were given last: a slip of the hand takes no running backend away.
    applied_credentials: Mapping[str, bytes] = field(default_factory=dict)
    # Secrets that may be consumers by access.consumerSelector, by name; None: the operator may not list Secrets.
    listed: Mapping[str, UserSecret] | None = field(default_factory=dict)
    running: Object | None = None  # the Deployment of the routers as it is in the cluster
    bearer: Object | None = None  # the child that bears the record of its pods (desired.kept), likewise
    operator: str = ""  # NAMESPACE/NAME of the Lease of the operator that asks
    upgrade: bool = False  # what only this release changes of the pods may make them new now
    #: The routers are of another release, and stay so for now: they get nothing new that no policy asks for (ADR 12).
    before_this_release: bool = False
    router_addresses: tuple[str, ...] = ()  # of the Service of the policy's own routers, once it has some
    fresh_token: bytes = b""  # that nobody can guess; made anew for each pass, and used if none is in use
    from_files: bool = False  # one person writes the policy and runs the router, on a machine of his own
    drill: DrillOrder | None = None  # that the routers are to run now
    #: What `config_document` has made, with what it was made of: a pass asks three times.
    written: list[Any] = field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True)
class ModelDeploymentContext:
    """These are facts about what a ModelDeployment names."""

    settings: Settings
    secrets: Mapping[str, UserSecret] = field(default_factory=dict)  # by name
    running: Object | None = None  # the Deployment as it is in the cluster
    bearer: Object | None = None  # the child that bears the record of its pods (desired.kept), likewise
    operator: str = ""  # NAMESPACE/NAME of the Lease of the operator that asks
    upgrade: bool = False  # what only this release changes of the pods may make them new now
    scaling: ScalingDecision = AWAKE  # only `spec.autoscaling` asks
    model: ModelFacts | None = None  # as a pod tells of it; None: status.size holds for what the resource says now
    #: What is wanted of the pods, with what it was made of: a pass asks three times, and nothing costs it more.
    wanted: list[Any] = field(default_factory=list, compare=False, repr=False)
