"""Where a policy's routers may go outside the cluster is bounded here."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field

from genset.addresses import CLOSED, is_inside, is_network
from genset.api.base import ApiModel, CelRule, Cidr, rules


def _is_open(cidr: str) -> bool:
    """Returns whether a network is one that routers may reach: neither link-local nor loopback."""
    return is_network(cidr) and not any(
        is_inside(ip_network(closed), ip_network(cidr, strict=False)) for closed in CLOSED
    )


@rules(
    CelRule(
        "(has(self.cidrs) && self.cidrs.size() > 0) || (has(self.ports) && self.ports.size() > 0)",
        "router.egress is empty: name cidrs, ports or both, or leave it out",
        lambda egress: bool(egress.cidrs or egress.ports),
    ),
    CelRule(
        "!has(self.cidrs) || self.cidrs.all(c, isCIDR(c) && !["
        + ", ".join(f"'{network}'" for network in CLOSED)
        + "].exists(n, cidr(n).containsCIDR(c)))",
        "router.egress.cidrs must hold networks, e.g. 203.0.113.0/24 or one address as 203.0.113.7/32; neither link-local "
        "nor loopback ones",
        lambda egress: all(_is_open(cidr) for cidr in egress.cidrs),
    ),
)
class RouterEgress(ApiModel):
    """Where routers may go outside the cluster."""

    cidrs: list[Cidr] = Field(
        default_factory=list,
        max_length=64,
        description="Networks of clouds, servers elsewhere, their proxies and the traces' collector. Default: every address "
        "but link-local, loopback and the cluster's own.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default_factory=list,
        max_length=32,
        description="Ports of them. Default: those that the URLs name.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
