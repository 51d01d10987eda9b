"""Which URLs name a server that can be dialled: one expression for the CRDs' rules, the types and the router's own check.

Here, because the API server, the operator and the router must give the same verdict, and the router knows no API types.
Stricter than RFC 3986: what a resolver would choke on is no host. Valid for RE2 (CEL) and for Python alike; without
single quotes, so that it fits into a CEL literal. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

PORT: Final = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

_LABEL = (
    r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"  # at most 63 characters (RFC 1035); networks of containers use _
)
_NAME = rf"{_LABEL}([.]{_LABEL})*[.]?"
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = (
    "|".join(  # RFC 4291, 2.2: eight groups, or fewer with one ::; no zone, which means another host on each machine
        [rf"({_GROUP}:){{7}}{_GROUP}", rf"({_GROUP}:){{1,7}}:", rf":(:{_GROUP}){{1,7}}", "::"]
        + [rf"({_GROUP}:){{1,{left}}}(:{_GROUP}){{1,{7 - left}}}" for left in range(1, 7)]
    )
)
_HOST = rf"({_NAME}|\[({_IPV6})\])"

URL: Final = rf"^https?://{_HOST}(:{PORT})?(/.*)?$"
PROXY_URL: Final = rf"^http://{_HOST}:{PORT}/?$"

#: A page's origin (RFC 6454, 6.2) in the form in which browsers send it, or * for all.
ORIGIN: Final = rf"^([*]|[a-z][-a-z0-9+.]*://([-a-z0-9._]+|\[[0-9a-f:]+\])(:{PORT})?)$"
CIDR: Final = r"^[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})$"

#: Remedy, to be read after "write ..., where".
HOST_AND_PORT: Final = "HOST is a name, an IPv4 address or an IPv6 address in brackets, and PORT is 1 to 65535"
URL_REMEDY: Final = f"write https://HOST:PORT/PATH, where {HOST_AND_PORT}"
QUERY_REMEDY: Final = (
    "a base URL takes no query (?...); Azure OpenAI needs no api-version at "
    "https://RESOURCE.openai.azure.com/openai/v1, where model is the name of the deployment"
)
PROXY_REMEDY: Final = f"write http://HOST:PORT, where {HOST_AND_PORT}"


def is_url(value: str) -> bool:
    """Whether it names an HTTP server, with or without port and path. Credentials in it are refused."""
    return re.fullmatch(URL, value) is not None


def is_proxy_url(value: str) -> bool:
    """Whether it names an HTTP proxy; the port must be there, as proxies have no common one."""
    return re.fullmatch(PROXY_URL, value) is not None


def is_network(value: str) -> bool:
    """Whether it names a network as ADDRESS/BITS. IPv4 inside IPv6 is refused, as the API server does."""
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return re.fullmatch(CIDR, value) is not None and getattr(network.network_address, "ipv4_mapped", None) is None
