"""The settings of a gateway become headers, or fields of each request's body."""

from __future__ import annotations

from typing import Any

from genset.api.cloud import Cloud
from genset.api.gateways import DataCollection


def gateway_headers(cloud: Cloud) -> dict[str, str]:
    """Returns the headers that a gateway is told by. A header of the same name in `headers` counts before it."""
    portkey = cloud.portkey
    if portkey is None:
        return {}
    made: dict[str, str] = {}
    if portkey.config_id is not None:
        made["x-portkey-config"] = portkey.config_id
    if portkey.provider is not None:
        made["x-portkey-provider"] = portkey.provider
    given = {header.name for header in cloud.headers}
    return {name: value for name, value in made.items() if name not in given}


def added_fields(cloud: Cloud) -> dict[str, Any]:
    """Returns the fields that each request to the cloud has, whatever its client says."""
    gateway = cloud.open_router
    if gateway is None:
        return {}
    collects = gateway.data_collection
    said: dict[str, Any] = {
        "data_collection": None if collects is None else ("deny" if collects is DataCollection.DENY else "allow"),
        "zdr": gateway.zero_data_retention,
        "order": list(gateway.order) or None,
        "only": list(gateway.only) or None,
        "ignore": list(gateway.ignore) or None,
        "allow_fallbacks": gateway.allow_fallbacks,
    }
    preferences = {key: value for key, value in said.items() if value is not None}
    made: dict[str, Any] = {"provider": preferences} if preferences else {}
    if gateway.fallback_models:
        made["models"] = [cloud.model, *gateway.fallback_models]
    return made
