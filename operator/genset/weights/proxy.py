"""Decides which proxy a URL goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as clusters write them.

httpx's own reading of NO_PROXY knows no address ranges, and an IPv6 range in it makes every client fail, while
clusters put their pod and service ranges there. So the choice is made here, per request (redirects change hosts),
for the puller's own client (httpx) and for the hub's (httpx2) alike.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from genset.api.modeldeployment import Reason
from genset.off_limits import OffLimits
from genset.weights.failure import WeightsFailure
from genset.weights.guard import forbidden, guarded
from genset.weights.origin import without_secrets


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Returns the URL of the proxy, or None for a direct connection."""
    parts = urlsplit(url)
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy or bypasses(parts.hostname or "", parts.port, _variable(environ, "no_proxy")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"The proxy {without_secrets(proxy)} can't be used: only http:// and https:// proxies are",
        )
    return proxy


def bypasses(host: str, port: int | None, no_proxy: str) -> bool:
    """Returns whether NO_PROXY names a host: `*`, names with their subdomains, addresses, ranges, each with or without
    port."""
    host = host.rstrip(".").lower()
    entries = [entry for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry]
    return any(entry == "*" or _names(entry, host, port) for entry in entries)


def _names(entry: str, host: str, port: int | None) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        name, colon, wanted = entry.partition(":")
        if colon and wanted.isdigit() and int(wanted) != port:
            return False
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    return address is not None and address.version == network.version and address in network


def _variable(environ: Mapping[str, str], name: str) -> str:
    """Reads a variable; lower case wins, as in curl."""
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def transport(library: Any, verify: Any, environ: Mapping[str, str], off_limits: OffLimits | None) -> Any:
    """Returns a transport of httpx or httpx2 that chooses the proxy for each request, and dials nothing `off_limits`."""

    class Routed(library.BaseTransport):  # type: ignore[misc]
        def __init__(self) -> None:
            self._routes: dict[str | None, Any] = {}

        def handle_request(self, request: Any) -> Any:
            proxy = proxy_for(str(request.url), environ)
            if off_limits is not None and off_limits.names(request.url.host):
                raise forbidden(request.url.host)  # behind a proxy nobody else would look
            if proxy not in self._routes:
                route = library.HTTPTransport(verify=verify, proxy=proxy, trust_env=True)
                self._routes[proxy] = route if off_limits is None else guarded(route, off_limits)
            return self._routes[proxy].handle_request(request)

        def close(self) -> None:
            for route in self._routes.values():
                route.close()

    return Routed()
