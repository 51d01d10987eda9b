"""The pods of a policy's router are described here: how many, how large, how they are reached, what they tell."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from genset.addresses import (
    ORIGIN,
    ORIGIN_REMEDY,
    PORT,
    URL,
    URL_REMEDY,
    is_network,
    is_url,
    names_usual_port,
    origin_mistake,
)
from genset.api.base import LATER, ApiModel, CelRule, Cidr, Fragment, Quantity, rules
from genset.api.bounds import MEMORY_LEAST, at_least, cores
from genset.api.children import DISRUPTION_BUDGET, ON_UPGRADE, DisruptionBudget, OnUpgrade
from genset.api.egress import RouterEgress
from genset.api.pod_template import PodTemplate
from genset.api.quantity import parse_quantity
from genset.api.router_service import RouterService
from genset.api.router_tls import RouterTls

BODY_LEAST = "1Ki"  # hardly a chat is smaller


@rules(
    cores("router.resources.cpu"),
    at_least("router.resources.memory", MEMORY_LEAST, gibi_below=64),
    cores("router.resources.cpuLimit", optional=True),
    CelRule(
        "!has(self.cpuLimit) || quantity(string(self.cpuLimit)).compareTo(quantity(string(self.cpu))) >= 0",
        "router.resources.cpuLimit must be at least router.resources.cpu: no pod may be promised more than it may use",
        lambda resources: (
            resources.cpu_limit is None or parse_quantity(resources.cpu_limit) >= parse_quantity(resources.cpu)
        ),
    ),
)
class RouterResources(ApiModel):
    """What one router pod may use."""

    cpu: Quantity = Field(default="500m", description="CPU request.")
    cpu_limit: Quantity | None = Field(
        default=None,
        description="CPU limit, for namespaces whose quota asks for one. Default: none, because a throttled router adds latency.",
    )
    memory: Quantity = Field(default="256Mi", description="Memory request and limit.")


@rules(
    at_least("router.limits.maxBody", BODY_LEAST),
)
class RouterLimits(ApiModel):
    """What one router pod takes on before it says 413 or 429."""

    max_body: Quantity = Field(
        default="32Mi", description="Largest request body; larger ones get 413. At most a quarter of resources.memory."
    )
    max_in_flight: int = Field(
        default=2000, ge=1, le=100_000, description="Requests in work at once; more wait in the queue."
    )
    max_queued: int = Field(
        default=1000, ge=0, le=100_000, description="Requests that may wait; more get 429 with Retry-After."
    )
    queue_seconds: int = Field(default=30, ge=1, le=600, description="Longest wait in the queue, then 429.")


@rules(
    CelRule(
        f"self.otlpEndpoint.matches(r'{URL}')",
        f"telemetry.otlpEndpoint names no server: {URL_REMEDY}",
        lambda telemetry: is_url(telemetry.otlp_endpoint),
    ),
)
class TelemetrySpec(ApiModel):
    """Traces by OpenTelemetry: a span per request, an event per attempt."""

    otlp_endpoint: str = Field(
        pattern=rf"^https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:{PORT})?(/[^\s?#]*)?$",
        examples=["http://collector.observability.svc:4318"],
        max_length=512,
        description="Base URL of a collector that speaks OTLP over HTTP, e.g. http://collector.observability.svc:4318; "
        "/v1/traces is added.",
    )
    sample_percent: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of the requests that are recorded, if the caller's traceparent does not decide it.",
    )


@rules(
    CelRule(
        f"self.allowedOrigins.all(o, o.matches(r'{ORIGIN}'))",
        f"cors.allowedOrigins: {ORIGIN_REMEDY}",
        lambda cors: all(re.fullmatch(ORIGIN, origin) for origin in cors.allowed_origins),
        tell=lambda cors: _origins_remedy(cors),
    ),
    CelRule(
        "!self.allowedOrigins.exists(o, o == '*') || self.allowedOrigins.size() == 1",
        "cors.allowedOrigins: * means every origin and stands alone",
        lambda cors: "*" not in cors.allowed_origins or len(cors.allowed_origins) == 1,
    ),
    CelRule(
        "!self.allowedOrigins.exists(o, o.matches('^https://.*:443$') || o.matches('^http://.*:80$'))",
        "cors.allowedOrigins: browsers leave out the port that the scheme implies; leave out :443 of https, :80 of http",
        lambda cors: not any(names_usual_port(origin) for origin in cors.allowed_origins),
    ),
)
class RouterCors(ApiModel):
    """Which web pages may use the router from a browser (CORS). Credentials of browsers (cookies) are never allowed."""

    allowed_origins: list[Annotated[str, Field(max_length=256)]] = Field(
        min_length=1,
        max_length=32,
        description="Origins of pages, as browsers send them (https://chat.example.org), or * for every page.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class RouterLog(ApiModel):
    """The line that every request leaves."""

    required: bool = Field(
        default=False,
        description="Whether requests are refused (503 router_log_unavailable) while their lines cannot be written.",
    )


@rules(
    CelRule(
        "!has(self.trustedProxies) || self.trustedProxies.all(c, isCIDR(c))",
        "router.trustedProxies must hold networks, e.g. 10.0.0.0/8 or fd00::/8; one address is 10.0.0.7/32",
        lambda router: all(is_network(network) for network in router.trusted_proxies),
    ),
    CelRule(
        "!quantity(string(self.limits.maxBody)).add(quantity(string(self.limits.maxBody)))"
        ".add(quantity(string(self.limits.maxBody))).add(quantity(string(self.limits.maxBody)))"
        ".isGreaterThan(quantity(string(self.resources.memory)))",
        "router.limits.maxBody must be at most a quarter of router.resources.memory: while a body is sent on it is there "
        "more than once; raise resources.memory",
        lambda router: 4 * parse_quantity(router.limits.max_body) <= parse_quantity(router.resources.memory),
    ),
)
class RouterSpec(ApiModel):
    """The router's pods."""

    replicas: int = Field(default=2, ge=0, le=100, description="Router pods.")
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the router: one that the operator or its allowedImages name. Default: the operator's own.",
    )
    resources: RouterResources = Field(default_factory=RouterResources, description="CPU and memory of one pod.")
    limits: RouterLimits = Field(default_factory=RouterLimits, description="Bounds of one pod.")
    service: RouterService = Field(default_factory=RouterService, description="The Service that clients dial.")
    pod_template: PodTemplate | None = Field(default=None, description="Escape hatch, merged last into router pods.")
    disruption_budget: DisruptionBudget | None = Field(default=None, strict=False, description=DISRUPTION_BUDGET)
    drain_seconds: int = Field(
        default=120, ge=0, le=3600, description="How long a router that is going away may finish running answers."
    )
    on_upgrade: OnUpgrade = Field(
        default=OnUpgrade.WHEN_IDLE, strict=False, description=ON_UPGRADE, json_schema_extra=LATER
    )
    tls: RouterTls | None = Field(
        default=None,
        description="TLS at the port that clients dial, which is then 443 unless service.port says otherwise. Default: plain "
        "HTTP.",
    )
    telemetry: TelemetrySpec | None = Field(default=None, description="Traces of its requests. Default: none.")
    cors: RouterCors | None = Field(
        default=None, description="Web pages that may use the router from a browser. Default: none."
    )
    trusted_proxies: list[Cidr] = Field(
        default_factory=list,
        max_length=32,
        description="Networks of proxies whose X-Forwarded-For is believed. A request's client is then its last address "
        "that is not in one of them; without, or from anybody else, it is whoever has connected.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    log: RouterLog = Field(default_factory=RouterLog, description="The access log.")
    egress: RouterEgress | None = Field(
        default=None,
        description="Bounds of where routers may go outside the cluster, as a NetworkPolicy. Default: wherever their backends "
        "and the collector are, at the ports that the URLs name.",
    )
    allowed_clients: list[Fragment] = Field(
        default_factory=list,
        max_length=32,
        description="NetworkPolicy peers that may reach the router. Empty: anyone who can reach the cluster's pods.",
        json_schema_extra={
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "x-kubernetes-list-type": "atomic",
        },
    )


def _origins_remedy(cors: RouterCors) -> str:
    index, remedy = next((i, found) for i, o in enumerate(cors.allowed_origins) if (found := origin_mistake(o)))
    return f"cors.allowedOrigins[{index}]: no browser sends this: {remedy}"
