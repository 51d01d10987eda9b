"""Which proxy stands before a server that routers dial: a cloud's own, the policy's, or the site's. Pure.

The policy's stands before everything outside the cluster but servers of the house elsewhere: what goes to these does not
leave it. What the site's administrator excepts from his proxy is no exception from the policy's, or the way out that it closes
would be open again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from genset.api.fault import FieldFault
from genset.api.proxy import Proxy
from genset.api.routepolicy import RoutePolicy
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.credential_files import Credential, file_name
from genset.desired.credentials import PROXY
from genset.desired.servers import looks_like_service, server_faults, site_proxy
from genset.desired.site import Site, SiteProxies

#: In the credentials folder: the site's file, and the beginning of the policy's. No backend's file is named like the first;
#: one that is named like the second was copied from the same key, and is sent to the same proxy.
SITE_PROXY_FILE: Final = "site.proxy"
_OWNER: Final = "egress"
FIELD: Final = "spec.egress.proxy.url"

Way = tuple[str | None, str | None]  # URL of a proxy, and the file with its credentials


def policy_proxy(url: str, resource: RoutePolicy, settings: Settings) -> Proxy | None:
    """Returns the policy's proxy on the way to a server; None if it names none, or the server is in the cluster."""
    proxy = resource.spec.egress.proxy if resource.spec.egress is not None else None
    if proxy is None or looks_like_service(url):
        return None
    everywhere = Site(SiteProxies(proxy.url, proxy.url))
    return proxy if everywhere.proxy_for(url, (*settings.cluster_cidrs, *settings.api_server)) else None


def way(url: str, resource: RoutePolicy, context: RoutePolicyContext) -> Way:
    """Returns the proxy before a server, and the file with its credentials, as far as they are known."""
    found = policy_proxy(url, resource, context.settings)
    if found is None:
        return site_way(url, context.settings)
    own = credential(resource)
    known = own is not None and own.content(resource.metadata.namespace, context) is not None
    return found.url.rstrip("/"), own.file if own is not None and known else None


def site_way(url: str, settings: Settings) -> Way:
    """Returns the site's proxy before a server, and the file with its credentials."""
    found = site_proxy(url, settings)
    return found or None, SITE_PROXY_FILE if found and settings.place.site.proxies.credentials else None


def is_shut(url: str, resource: RoutePolicy, context: RoutePolicyContext) -> bool:
    """Returns whether a server is behind a proxy of the policy that no router may dial: then nothing goes there."""
    return policy_proxy(url, resource, context.settings) is not None and any(faults(resource, context))


def credential(resource: RoutePolicy) -> Credential | None:
    """Returns the credential of the policy's proxy; None if there is no proxy, or it asks for none."""
    proxy = resource.spec.egress.proxy if resource.spec.egress is not None else None
    if proxy is None or proxy.credentials_secret_ref is None:
        return None
    ref = proxy.credentials_secret_ref
    return Credential(file_name(_OWNER, PROXY, ref, proxy.url), PROXY, ref, proxy.url)


def faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields why nothing goes by the policy's proxy: whatever would, stays where it is."""
    proxy = resource.spec.egress.proxy if resource.spec.egress is not None else None
    if proxy is not None and not context.from_files:
        yield from server_faults(FIELD, proxy.url, resource, context)
