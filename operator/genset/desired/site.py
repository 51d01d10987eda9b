"""A site is what all of its pods share, as the operator's administrator says it: proxies, certificates, a token of its hub.

Values only, and the choice which way a request goes. What they become in pods stands in `site_objects`, and in
`router_config` for routers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from genset.addresses import ServerName, server_of
from genset.desired.secrets import UserSecret
from genset.proxies import bypasses

#: Never behind a proxy: the pod itself, and what only the cluster's own DNS knows.
INSIDE: Final = ("localhost", "127.0.0.0/8", "::1", ".svc", ".cluster.local")
#: One certificate of a bundle. What else is in the file stays with the operator: a key, say, that nobody meant to give away.
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True)
class SiteProxies:
    """The proxies are those for URLs of each scheme, http://HOST:PORT or "", and what is reached without them."""

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = ()
    credentials: str = field(default="", repr=False)  # user:password, of both

    def __bool__(self) -> bool:
        return bool(self.http or self.https)

    def with_credentials(self, url: str) -> str:
        """Returns a proxy's URL as programs read it from the environment."""
        if not url or not self.credentials:
            return url
        user, _, password = self.credentials.partition(":")
        return url.replace("http://", f"http://{quote(user, safe='')}:{quote(password, safe='')}@", 1)


@dataclass(frozen=True)
class HubToken:
    """The hub token is a key of a Secret in the operator's namespace. `secret` is None if it is not there."""

    name: str
    key: str
    secret: UserSecret | None = field(default=None, repr=False)

    @property
    def value(self) -> str:
        data = self.secret.data.get(self.key, b"") if self.secret is not None else b""
        try:
            return data.decode("ascii").strip()
        except UnicodeDecodeError:
            return ""


@dataclass(frozen=True)
class Ledger:
    """The ledger is where all routers of the site send what they have written down. `key`: of the tokens that it takes."""

    url: str
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Site:
    """A site is what its administrator has said; empty values say nothing. `ca` are certificates in PEM."""

    proxies: SiteProxies = field(default_factory=SiteProxies)
    ca: str = field(default="", repr=False)
    hub_token: HubToken | None = None
    ledger: Ledger | None = None

    def proxy_for(self, url: str, inside: Iterable[str] = ()) -> str:
        """Returns the proxy, without credentials, on the way to a URL; "" if there is none.

        `inside` are further hosts and networks that are reached directly. A name without a dot is one of the cluster's.
        """
        parts = urlsplit(url)
        proxy = self.proxies.https if parts.scheme == "https" else self.proxies.http
        server = server_of(url)
        if not proxy or ("." not in server.host and ":" not in server.host) or is_service(server):
            return ""
        return "" if bypasses(server.host, server.port, ",".join(self.no_proxy(inside))) else proxy

    def no_proxy(self, inside: Iterable[str] = ()) -> tuple[str, ...]:
        """Returns the entries of NO_PROXY, each once: the cluster's own, the administrator's, and further ones."""
        return tuple(dict.fromkeys((*INSIDE, *self.proxies.no_proxy, *inside)))


def is_service(server: ServerName) -> bool:
    """Returns whether a host is NAME.NAMESPACE.svc, with or without the cluster's domain."""
    return server.host.split(".")[2:3] == ["svc"]


def certificates(text: str) -> str:
    """Returns the certificates of a bundle, and nothing else of it; "" if it has none."""
    return "".join(f"{found}\n" for found in _CERTIFICATE.findall(text))
