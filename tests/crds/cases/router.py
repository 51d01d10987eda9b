"""RoutePolicies by what they say of their routers."""

from __future__ import annotations

from typing import Any

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.bounds import BOUNDS_OF_ROUTERS
from tests.crds.cases.case import RP, Case, Spec, policy

_NO_WAY = "router.egress.cidrs must hold networks, e.g. 203.0.113.0/24"
_NO_ORIGIN = (
    "cors.allowedOrigins: write SCHEME://HOST or SCHEME://HOST:PORT in small letters, without a path, or * alone"
)


def service(**fields: Any) -> Spec:
    return policy(router={"service": fields})


_NOT_FROM_OUTSIDE = "service.externalTrafficPolicy needs service.type NodePort or LoadBalancer"
_NO_NODE_PORT = "service.nodePort needs service.type NodePort or LoadBalancer"
_ONE_FAMILY = "service.ipFamilies holds two families, but service.ipFamilyPolicy is SingleStack"

SERVICES = [
    Case("a load balancer with all it may have", RP, service(
        type="LoadBalancer", port=8443, nodePort=30080, loadBalancerClass="corp.example/internal",
        loadBalancerSourceRanges=["10.0.0.0/8", "fd00::/8"], externalTrafficPolicy="Local",
        ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv6", "IPv4"])),
    Case("a port on nodes", RP, service(type="NodePort", nodePort=30080, externalTrafficPolicy="Cluster")),
    Case("another port", RP, service(port=8000)),
    Case("annotations of a load balancer", RP, service(annotations={
        "service.beta.kubernetes.io/aws-load-balancer-type": "external", "note": ""})),
    Case("an annotation whose key is none", RP, service(annotations={"a b": "c"}),
         "service.annotations: a key is NAME or PREFIX/NAME"),
    Case("an annotation of genset's own", RP, service(annotations={"genset.dev/desired-hash": "0"}),
         "service.annotations: all under genset.dev/ are genset's own; choose other keys"),
    Case("no port", RP, service(port=0), "port in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("a port on nodes of a ClusterIP", RP, service(nodePort=30080), _NO_NODE_PORT),
    Case("a class of a NodePort", RP, service(type="NodePort", loadBalancerClass="a"),
         "service.loadBalancerClass needs service.type LoadBalancer: a Service of another type has none"),
    Case("source ranges of a ClusterIP", RP, service(loadBalancerSourceRanges=["10.0.0.0/8"]),
         "service.loadBalancerSourceRanges needs service.type LoadBalancer: a Service of another type has none"),
    Case("source ranges that are none", RP, service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/33"]),
         "service.loadBalancerSourceRanges must hold networks"),
    Case("traffic from outside to a ClusterIP", RP, service(externalTrafficPolicy="Local"), _NOT_FROM_OUTSIDE),
    Case("two families of one stack", RP, service(ipFamilyPolicy="SingleStack", ipFamilies=["IPv4", "IPv6"]), _ONE_FAMILY),
    Case("a family twice", RP, service(ipFamilies=["IPv4", "IPv4"]),
         'spec.router.service.ipFamilies[1]: Duplicate value: "IPv4"', "ipFamilies holds 'IPv4' twice"),
    Case("a family that is none", RP, service(ipFamilies=["IPv5"]),
         'supported values: "IPv4", "IPv6"', "Input should be 'IPv4' or 'IPv6'"),
]  # fmt: skip

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
    Case("bodies too large for the pod", RP, policy(router={"limits": {"maxBody": "65Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
    Case("a pod too small for its bodies", RP, policy(router={"resources": {"memory": "100Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
    *BOUNDS_OF_ROUTERS,
    *SERVICES,
    Case("a router with a CPU limit", RP, policy(router={"resources": {"cpuLimit": 2}})),
    Case("a router with a CPU limit below its request", RP, policy(router={"resources": {"cpu": "1", "cpuLimit": "500m"}}),
         "router.resources.cpuLimit must be at least router.resources.cpu"),
    Case("a router's CPU limit without its m", RP, policy(router={"resources": {"cpuLimit": 500}}),
         "router.resources.cpuLimit 500 is a number of whole cores: did you mean 500m?"),
    Case("a router without a CPU limit to speak of", RP, policy(router={"resources": {"cpuLimit": "1u"}}),
         "router.resources.cpuLimit", "router.resources.cpuLimit 1u is less than 1m"),
    Case("a router of another shape", RP, policy(router={
        "podTemplate": {"spec": {"nodeSelector": {"pool": "edge"}}, "remove": ["spec.topologySpreadConstraints"]}})),
    Case("a router without a budget", RP, policy(router={"disruptionBudget": "None"})),
    Case("a router with an odd budget", RP, policy(router={"disruptionBudget": "Never"}),
         'supported values: "Auto", "None"', "Input should be 'Auto' or 'None'"),
    Case("labels for all children", RP, policy(metadataTemplate={
        "labels": {"cost-center": "42", "corp.example/team": ""}, "annotations": {"corp.example/owner": "a b, c"}})),
    Case("a label that genset sets", RP, policy(metadataTemplate={"labels": {"app.kubernetes.io/managed-by": "me"}}),
         "metadataTemplate.labels: app.kubernetes.io/name, app.kubernetes.io/instance"),
    Case("a selector label", RP, policy(metadataTemplate={"labels": {"genset.dev/routepolicy": "other"}}),
         "metadataTemplate.labels: app.kubernetes.io/name, app.kubernetes.io/instance"),
    Case("an annotation that genset sets", RP, policy(metadataTemplate={"annotations": {"genset.dev/desired-hash": "0"}}),
         "metadataTemplate.annotations: all under genset.dev/ are genset's own"),
    Case("an annotation that a controller sets", RP,
         policy(metadataTemplate={"annotations": {"deployment.kubernetes.io/revision": "7"}}),
         "metadataTemplate.annotations: all under genset.dev/ are genset's own, and those under kubernetes.io"),
    *(Case(f"an annotation that orders something for a claim, {key}", RP,
           policy(metadataTemplate={"annotations": {key: "x"}}), "cdi.kubevirt.io and nfs.io are orders to controllers")
      for key in ("cdi.kubevirt.io/storage.import.endpoint", "nfs.io/storage-path")),
    Case("an annotation of somebody with a like name", RP,
         policy(metadataTemplate={"annotations": {"notkubernetes.io/a": "7"}})),
    Case("a label without a name", RP, policy(metadataTemplate={"labels": {"corp.example/": "a"}}),
         "metadataTemplate.labels: a key is NAME or PREFIX/NAME"),
    Case("an annotation with a blank in its key", RP, policy(metadataTemplate={"annotations": {"a b": "a"}}),
         "metadataTemplate.annotations: a key is NAME or PREFIX/NAME"),
    Case("a label with a blank", RP, policy(metadataTemplate={"labels": {"team": "a b"}}),
         "spec.metadataTemplate.labels.team in body should match", "String should match pattern"),
]  # fmt: skip
