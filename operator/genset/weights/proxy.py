"""Decides which proxy a URL goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as clusters write them.

httpx's own reading of NO_PROXY knows no address ranges, and an IPv6 range in it makes every client fail, while
clusters put their pod and service ranges there. So the choice is made here, per request (redirects change hosts),
for the puller's own client (httpx) and for the hub's (httpx2) alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from genset.api.modeldeployment import Reason
from genset.off_limits import OffLimits
from genset.proxies import bypasses
from genset.weights.failure import WeightsFailure
from genset.weights.guard import forbidden, guarded
from genset.weights.origin import without_secrets


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Returns the URL of the proxy, or None for a direct connection."""
    parts = urlsplit(url)
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not proxy or bypasses(parts.hostname or "", port, _variable(environ, "no_proxy")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"The proxy {without_secrets(proxy)} can't be used: only http:// and https:// proxies are",
        )
    return proxy


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
                # A proxy may stand in a network that an administrator keeps from resources: on a node, say.
                allowed = off_limits if proxy is None else OffLimits()
                self._routes[proxy] = route if off_limits is None or allowed is None else guarded(route, allowed)
            return self._routes[proxy].handle_request(request)

        def close(self) -> None:
            for route in self._routes.values():
                route.close()

    return Routed()
