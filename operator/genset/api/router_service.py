"""The Service that clients of a router dial is described here; an option without meaning for its type is refused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genset.addresses import is_network
from genset.api.base import ApiModel, CelRule, Cidr, rules
from genset.api.children import LABEL_KEY, are_free, are_keys
from genset.names import GROUP, SERVICE_PORT


def _needs_load_balancer(name: str, field: str) -> CelRule:
    return CelRule(
        f"!has(self.{name}) || self.type == 'LoadBalancer'",
        f"service.{name} needs service.type LoadBalancer: a Service of another type has none",
        lambda service: not getattr(service, field) or service.type == "LoadBalancer",
    )


@rules(
    _needs_load_balancer("loadBalancerClass", "load_balancer_class"),
    _needs_load_balancer("loadBalancerSourceRanges", "load_balancer_source_ranges"),
    CelRule(
        f"!has(self.annotations) || self.annotations.all(k, k.matches(r'{LABEL_KEY}'))",
        "service.annotations: a key is NAME or PREFIX/NAME, where NAME has at most 63 of A-Z, a-z, 0-9, -, _ and .",
        lambda service: are_keys(service.annotations),
    ),
    CelRule(
        f"!has(self.annotations) || self.annotations.all(k, !k.startsWith('{GROUP}/'))",
        f"service.annotations: all under {GROUP}/ are genset's own; choose other keys",
        lambda service: are_free(service.annotations),
    ),
    CelRule(
        "!has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.all(c, isCIDR(c))",
        "service.loadBalancerSourceRanges must hold networks, e.g. 10.0.0.0/8 or fd00::/8; one address is 10.0.0.7/32",
        lambda service: all(is_network(network) for network in service.load_balancer_source_ranges),
    ),
    CelRule(
        "!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
        "service.externalTrafficPolicy needs service.type NodePort or LoadBalancer: nothing comes from outside to a ClusterIP",
        lambda service: service.external_traffic_policy is None or service.type != "ClusterIP",
    ),
    CelRule(
        "!has(self.nodePort) || self.type != 'ClusterIP'",
        "service.nodePort needs service.type NodePort or LoadBalancer: a ClusterIP has no port on nodes",
        lambda service: service.node_port is None or service.type != "ClusterIP",
    ),
    CelRule(
        "!has(self.ipFamilies) || self.ipFamilies.size() < 2 || !has(self.ipFamilyPolicy) || "
        "self.ipFamilyPolicy != 'SingleStack'",
        "service.ipFamilies holds two families, but service.ipFamilyPolicy is SingleStack: name one, or use PreferDualStack",
        lambda service: len(service.ip_families) < 2 or service.ip_family_policy != "SingleStack",
    ),
)
class RouterService(ApiModel):
    """The Service that clients dial."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="How the router is reached."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="Annotations, e.g. for a load balancer. genset's own cannot be taken.",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description=f"Port that clients dial. Default: {SERVICE_PORT}, with router.tls 443.",
    )
    node_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port on every node. Default: the cluster chooses one."
    )
    load_balancer_class: str | None = Field(
        default=None,
        min_length=1,
        max_length=317,
        description="Which load balancers are asked. The API server lets it be set only together with the type.",
    )
    load_balancer_source_ranges: list[Cidr] = Field(
        default_factory=list,
        max_length=64,
        description="Networks whose clients the load balancer lets in. Empty: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        default=None,
        description="Local: no second hop between nodes, and routers see clients' own addresses. Default: Cluster.",
    )
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = Field(
        default=None, description="Whether the Service has addresses of both families. Default: the cluster's."
    )
    ip_families: list[Literal["IPv4", "IPv6"]] = Field(
        default_factory=list,
        max_length=2,
        description="Families of its addresses, the first one first. Default: the cluster's.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
