"""A real Envoy in front of a router, set as a Gateway API controller sets it for an HTTPRoute.

What the route says is taken from the route; what it does not say is Envoy's default, as controllers leave it: 15 s for a
whole answer, one that ends a stream in its middle.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.peers.envoy import TYPES, Envoy
from e2e.cloud import free_port
from e2e.front.program import HOST, listening

Object = dict[str, Any]


def configuration(route: Object, port: int, router_port: int) -> Object:
    """Returns Envoy's configuration for a route whose backend is a router at `router_port`."""
    spec = route["spec"]
    connections = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": True,  # Envoy is the edge: x-forwarded-for ends with the client that it sees
        "route_config": {
            "virtual_hosts": [
                {"name": "route", "domains": spec.get("hostnames", ["*"]), "routes": _routes(spec["rules"])}
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    cluster = {
        "name": "router",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "router",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(router_port)}}]}],
        },
    }
    listener = {"name": "front", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _routes(rules: list[Object]) -> list[Object]:
    made = []
    for rule in rules:
        action: Object = {"cluster": "router"}
        if (limit := rule.get("timeouts", {}).get("request")) is not None:
            action["timeout"] = limit
        if (tries := rule.get("timeouts", {}).get("backendRequest")) not in (None, "0s"):
            action["retry_policy"] = {"per_try_timeout": tries}
        for match in rule.get("matches") or [{"path": {"value": "/"}}]:
            made.append({"match": {"path_separated_prefix": match["path"]["value"]}, "route": action})
    return made


def _address(port: int) -> Object:
    return {"socket_address": {"address": HOST, "port_value": port}}


@contextlib.asynccontextmanager
async def gateway(folder: Path, route: Object, router_port: int) -> AsyncIterator[int]:
    """Runs Envoy while the block lasts. Gives its port."""
    port, file = free_port(HOST), folder / f"envoy-{router_port}.json"
    file.write_text(json.dumps(configuration(route, port, router_port)))
    options = ["--config-path", str(file), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    options += ["--base-id", str(port)]
    async with listening([str(Envoy().binary()), *options], port):
        yield port
