"""Envoy, set as Envoy AI Gateway sets it for its example of provider fallback, and a little better.

https://github.com/envoyproxy/ai-gateway/tree/main/examples/provider_fallback: priorities; 5 retries, each at the next one, 100 ms
to 10 s apart, 30 s each, on connect-failure and retriable status codes; passive health checks (ejected for 5 s after one error,
looked at each 2 s). The example retries on 500 alone; here it is every status of a provider in trouble, and resets, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.continuity.faults import NAMES, PLAIN_PORT, TLS_PORT, Side, base_url
from bench.continuity.peers import Cell, Spot
from bench.peers.envoy import TYPES, Envoy

STATUSES: Final = (401, 403, 404, 429, 500, 502, 503, 504)
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_NEXT: Final = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"


class EnvoyFailover:
    """`envoy` with a cluster of two priorities for each cell."""

    name = "envoy"
    about = (
        "as Envoy AI Gateway's example of provider fallback: priorities, 5 retries at the next one each, 30 s per try, passive "
        "health checks; retries on resets and on 401, 403, 404, 429, 500, 502, 503, 504, too; it cannot be told to go on once an "
        "answer has begun, nor what an answer says"
    )
    lasts = False

    def __init__(self) -> None:
        self._plain = Envoy()

    def install(self) -> None:
        self._plain.install()

    def version(self) -> str:
        return self._plain.version()

    def command(self, spot: Spot) -> list[str]:
        file = spot.folder / "envoy.yaml"  # JSON is YAML
        file.write_text(json.dumps(bootstrap(spot)))
        options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
        return [str(self._plain.binary()), "--config-path", str(file), *options]

    def environment(self, spot: Spot) -> Mapping[str, str]:
        return {}

    def path(self, cell: Cell) -> str:
        return f"/{cell.name}/v1/chat/completions"


def bootstrap(spot: Spot) -> dict[str, Any]:
    """Returns a static configuration: a path and a cluster for each cell."""
    connections = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route(cell) for cell in spot.cells]}]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    listener = {"name": "in", "address": _address("127.0.0.1", spot.port), "filter_chains": [chain]}
    clusters = [_cluster(cell, spot.ca_pem) for cell in spot.cells]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _route(cell: Cell) -> dict[str, Any]:
    policy = {
        "retry_on": "connect-failure,reset,retriable-status-codes",
        "retriable_status_codes": list(STATUSES),
        "num_retries": 5,
        "per_try_timeout": "30s",
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "10s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": _NEXT, "update_frequency": 1},
        },
    }
    route = {"cluster": cell.name, "timeout": "0s", "prefix_rewrite": "/", "auto_host_rewrite": True}
    return {"match": {"prefix": f"/{cell.name}/"}, "route": {**route, "retry_policy": policy}}


def _cluster(cell: Cell, ca_pem: str) -> dict[str, Any]:
    order = (cell.first, cell.first.other)
    return {
        "name": cell.name,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        # Envoy Gateway's own default; Envoy's, 3, would give up the fourth request that is asked again at once.
        "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
        "outlier_detection": {
            "consecutive_5xx": 1,
            "consecutive_gateway_failure": 0,
            "consecutive_local_origin_failure": 1,
            "interval": "2s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 100,
        },
        "transport_socket_matches": [_tls(side, ca_pem) for side in Side],
        "load_assignment": {
            "cluster_name": cell.name,
            "endpoints": [
                {"priority": number, "lb_endpoints": [_endpoint(cell, side)]} for number, side in enumerate(order)
            ],
        },
    }


def _endpoint(cell: Cell, side: Side) -> dict[str, Any]:
    over_tls = base_url(side, cell.fault).startswith("https:")
    address = _address(NAMES[side], TLS_PORT if over_tls else PLAIN_PORT)
    found: dict[str, Any] = {"endpoint": {"address": address, "hostname": NAMES[side]}}
    if over_tls:
        found["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"side": side.value}}}
    return found


def _tls(side: Side, ca_pem: str) -> dict[str, Any]:
    name = {"san_type": "DNS", "matcher": {"exact": NAMES[side]}}
    trusted = {"trusted_ca": {"inline_string": ca_pem}, "match_typed_subject_alt_names": [name]}
    context = {"@type": _TLS, "sni": NAMES[side], "common_tls_context": {"validation_context": trusted}}
    socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return {"name": side.value, "match": {"side": side.value}, "transport_socket": socket}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
