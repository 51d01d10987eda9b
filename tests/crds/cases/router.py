"""RoutePolicies by what they say of their routers."""

from __future__ import annotations

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.case import RP, Case, policy

_NO_WAY = "router.egress.cidrs must hold networks, e.g. 203.0.113.0/24"
_NO_ORIGIN = (
    "cors.allowedOrigins: write SCHEME://HOST or SCHEME://HOST:PORT in small letters, without a path, or * alone"
)

ROUTER = [
    Case("bodies of a quarter of the pod", RP,
         policy(router={"resources": {"memory": "1Gi"}, "limits": {"maxBody": "256Mi"}})),
    Case("a misspelt field", RP, policy(router={"replica": 1}),
         'unknown field "spec.router.replica"', "Extra inputs are not permitted"),
    Case("a service of a wrong type", RP, policy(router={"service": {"type": "Ingress"}}),
         'supported values: "ClusterIP", "NodePort", "LoadBalancer"', "Input should be 'ClusterIP'"),
    Case("traces to nowhere", RP, policy(router={"telemetry": {}}),
         "spec.router.telemetry.otlpEndpoint: Required value", "otlpEndpoint"),
    Case("traces to no URL", RP, policy(router={"telemetry": {"otlpEndpoint": "collector:4318"}}),
         "spec.router.telemetry.otlpEndpoint in body should match", "should match pattern"),
    Case("traces to no host", RP, policy(router={"telemetry": {"otlpEndpoint": "http://collector..corp"}}),
         f"telemetry.otlpEndpoint {NO_SERVER}"),
    Case("traces to no port", RP, policy(router={"telemetry": {"otlpEndpoint": "http://collector:70000"}}),
         "spec.router.telemetry.otlpEndpoint in body should match", "should match pattern"),
    Case("more traces than requests", RP,
         policy(router={"telemetry": {"otlpEndpoint": "http://collector:4318", "samplePercent": 101}}),
         "spec.router.telemetry.samplePercent in body should be less than or equal to 100", "less than or equal to 100"),
    Case("a router for every page", RP, policy(router={"cors": {"allowedOrigins": ["*"]}})),
    Case("a router for no page", RP, policy(router={"cors": {"allowedOrigins": []}}),
         "spec.router.cors.allowedOrigins in body should have at least 1 items", "at least 1 item"),
    Case("a router for every page and one more", RP, policy(router={"cors": {"allowedOrigins": ["*", "https://a.org"]}}),
         "cors.allowedOrigins: * means every origin and stands alone"),
    Case("an origin with a path", RP, policy(router={"cors": {"allowedOrigins": ["https://a.org/"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin in capitals", RP, policy(router={"cors": {"allowedOrigins": ["https://A.org"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin without a scheme", RP, policy(router={"cors": {"allowedOrigins": ["*", "a.org"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin with a password", RP, policy(router={"cors": {"allowedOrigins": ["https://me:1@a.org"]}}), _NO_ORIGIN,
         "write SCHEME://HOST or SCHEME://HOST:PORT in small letters"),
    Case("an origin with the usual port", RP, policy(router={"cors": {"allowedOrigins": ["https://a.org:443"]}}),
         "cors.allowedOrigins: browsers leave out the port that the scheme implies"),
    Case("a proxy that is no network", RP, policy(router={"trustedProxies": ["10.0.0.7"]}),
         "spec.router.trustedProxies[0] in body should match", "String should match pattern"),
    Case("a proxy of too many bits", RP, policy(router={"trustedProxies": ["10.0.0.0/33"]}),
         "router.trustedProxies must hold networks, e.g. 10.0.0.0/8"),
    Case("a proxy that is no address", RP, policy(router={"trustedProxies": ["10.0.0.256/8"]}),
         "router.trustedProxies must hold networks, e.g. 10.0.0.0/8"),
    Case("ways out", RP, policy(router={"egress": {"cidrs": ["203.0.113.0/24", "fd00::/8", "0.0.0.0/0"], "ports": [443]}})),
    Case("ways out by ports alone", RP, policy(router={"egress": {"ports": [443, 8443]}})),
    Case("ways out that say nothing", RP, policy(router={"egress": {}}), "router.egress is empty: name cidrs, ports or both"),
    Case("ways out of empty lists", RP, policy(router={"egress": {"cidrs": [], "ports": []}}), "router.egress is empty"),
    Case("a way out to a metadata server", RP, policy(router={"egress": {"cidrs": ["169.254.169.254/32"]}}), _NO_WAY),
    Case("a way out to the pod itself", RP, policy(router={"egress": {"cidrs": ["127.0.0.0/8"]}}), _NO_WAY),
    Case("a way out to link-local IPv6", RP, policy(router={"egress": {"cidrs": ["fe80::1/128"]}}), _NO_WAY),
    Case("a way out of too many bits", RP, policy(router={"egress": {"cidrs": ["10.0.0.0/33"]}}), _NO_WAY),
    Case("a way out without bits", RP, policy(router={"egress": {"cidrs": ["10.0.0.7"]}}),
         "spec.router.egress.cidrs[0] in body should match", "String should match pattern"),
    Case("a way out at no port", RP, policy(router={"egress": {"ports": [0]}}),
         "spec.router.egress.ports[0] in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("a router without memory", RP, policy(router={"resources": {"memory": "0"}}),
         "router.resources.memory must be above zero: it is the pod's limit"),
    Case("a router that takes no bodies", RP, policy(router={"limits": {"maxBody": 0}}),
         "router.limits.maxBody must be above zero"),
    Case("bodies too large for the pod", RP, policy(router={"limits": {"maxBody": "65Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
    Case("a pod too small for its bodies", RP, policy(router={"resources": {"memory": "100Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
]  # fmt: skip
