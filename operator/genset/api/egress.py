"""Where routers may go outside the cluster, and by which proxy, is bounded here; and whether what leaves is written down."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field

from genset.addresses import is_inside, is_network
from genset.api.base import ApiModel, CelRule, Cidr, rules
from genset.api.proxy import Proxy
from genset.off_limits import NETWORKS


def _is_open(cidr: str) -> bool:
    """Returns whether a network is one that routers may reach: not, whole, one that is off limits."""
    return is_network(cidr) and not any(
        is_inside(ip_network(closed), ip_network(cidr, strict=False)) for closed in NETWORKS
    )


@rules(
    CelRule(
        "(has(self.cidrs) && self.cidrs.size() > 0) || (has(self.ports) && self.ports.size() > 0)",
        "router.egress is empty: name cidrs, ports or both, or leave it out",
        lambda egress: bool(egress.cidrs or egress.ports),
    ),
    CelRule(
        "!has(self.cidrs) || self.cidrs.all(c, isCIDR(c) && !["
        + ", ".join(f"'{network}'" for network in NETWORKS)
        + "].exists(n, cidr(n).containsCIDR(c)))",
        "router.egress.cidrs must hold networks, e.g. 203.0.113.0/24 or one address as 203.0.113.7/32; none of "
        "loopback, link-local, multicast or a cloud's metadata service",
        lambda egress: all(_is_open(cidr) for cidr in egress.cidrs),
    ),
)
class RouterEgress(ApiModel):
    """Where routers may go outside the cluster."""

    cidrs: list[Cidr] = Field(
        default_factory=list,
        max_length=64,
        description="Networks of clouds, servers elsewhere, their proxies and the traces' collector. Default: every address "
        "but the cluster's own, loopback, link-local, multicast and the metadata services of clouds.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default_factory=list,
        max_length=32,
        description="Ports of them. Default: those that the URLs name.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class EgressRecord(StrEnum):
    """What happens to a request for the outside that cannot be written down."""

    BEST_EFFORT = "BestEffort"
    REQUIRED = "Required"


@rules(
    CelRule(
        "has(self.record) || has(self.proxy)",
        "egress is empty: name record, proxy or both, or leave it out",
        lambda egress: egress.record is not None or egress.proxy is not None,
    )
)
class Egress(ApiModel):
    """By which proxy requests leave the house, and what is written down of them. See docs/data-zones.md."""

    record: EgressRecord | None = Field(
        default=None,
        strict=False,
        description="Each attempt at a backend in another zone than house is written down before its connection is used, and "
        "when it has ended; never its content. BestEffort: it goes out also if that cannot be done, which is counted. Required: "
        "nothing goes out then. Default: nothing is written down.",
    )
    proxy: Proxy | None = Field(
        default=None,
        description="Proxy on the way to every cloud outside the cluster that has none of its own, to the identity provider's "
        "keys and to the traces' collector: the routers' NetworkPolicy has a way to it in place of them. Default: the site's.",
    )
