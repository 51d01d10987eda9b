"""Says which URLs name a server that can be dialled: one expression for the CRDs' rules, the types and the router's own
check.

Here, because the API server, the operator and the router must give the same verdict, and the router knows no API types.
Stricter than RFC 3986: what a resolver would choke on is no host. Valid for RE2 (CEL) and for Python alike; without
single quotes, so that it fits into a CEL literal. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

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

HOST: Final = rf"^{_HOST}$"
URL: Final = rf"^https?://{_HOST}(:{PORT})?(/.*)?$"
PROXY_URL: Final = rf"^http://{_HOST}:{PORT}/?$"

#: A page's origin (RFC 6454, 6.2) in the form in which browsers send it, or * for all.
ORIGIN: Final = rf"^([*]|[a-z][-a-z0-9+.]*://([-a-z0-9._]+|\[[0-9a-f:]+\])(:{PORT})?)$"
CIDR: Final = r"^[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})$"

#: Remedy, to be read after "write ..., where".
HOST_AND_PORT: Final = "HOST is a name, an IPv4 address or an IPv6 address in brackets, and PORT is 1 to 65535"
URL_REMEDY: Final = f"write https://HOST:PORT/PATH, where {HOST_AND_PORT}"
PROXY_REMEDY: Final = f"write http://HOST:PORT, where {HOST_AND_PORT}"


@dataclass(frozen=True)
class Mistake:
    """A mistake is what is often wrong with a base URL.

    `pattern` finds it or, if it is `wanted`, finds what must be there.

    `remedy` is read behind the field's name. It never repeats what was given: that may hold a key.
    """

    pattern: str
    remedy: str
    wanted: bool = False


#: Paths of the API that people paste with the base URL; requests bring them along.
API_PATH: Final = "/(chat/completions|completions|embeddings|messages|models|responses)/*$"
AZURE: Final = "[-A-Za-z0-9]+[.](openai|services[.]ai|cognitiveservices)[.]azure[.]com"
RESOURCE: Final = "RESOURCE.openai.azure.com"  # if the given URL names no host of AZURE

WITH_USER: Final = Mistake(
    "^[^/]*//[^/?#]*@",
    "takes no user and no password: the key belongs into a Secret, for credentialsSecretRef (apiKeySecretRef of an external "
    "server)",
)
WITH_QUERY: Final = Mistake(
    "[?]",
    f"takes no query (?...): leave it out; Azure OpenAI needs no api-version at https://{RESOURCE}/openai/v1, where model is "
    "the name of the deployment",
)
WITH_API_PATH: Final = Mistake(
    API_PATH, "ends in the path of an API call, which each request brings along: write it up to and with the version"
)
#: In the order in which they are told.
BASE_URL_MISTAKES: Final = (
    Mistake("^https?://", "begins with https:// or http://: write https://HOST/v1, say", wanted=True),
    WITH_USER,
    WITH_QUERY,
    Mistake("#|[^!-~]", "takes no fragment (#...), no blank, and no letter beyond ASCII: leave it out"),
    WITH_API_PATH,
    Mistake(URL, f"names no server: {URL_REMEDY}", wanted=True),
)


def base_url_mistake(value: str) -> str:
    """Says what is wrong with a base URL and what to write, to be read behind its field's name; empty if it is good."""
    for mistake in BASE_URL_MISTAKES:
        if is_made(mistake, value):
            return told(mistake, value)
    return ""


def is_made(mistake: Mistake, value: str) -> bool:
    """Returns whether a base URL has this mistake."""
    if mistake.wanted:
        return re.match(mistake.pattern, value) is None
    return re.search(mistake.pattern, value) is not None


def told(mistake: Mistake, value: str) -> str:
    """Returns its remedy, with what is to be written instead of this value if that is known."""
    if mistake is WITH_QUERY and (host := re.search(AZURE, value)):
        return mistake.remedy.replace(RESOURCE, host[0])
    if mistake is WITH_API_PATH and not is_made(WITH_USER, value):
        return f"{mistake.remedy.partition(': write')[0]}: write {re.sub(API_PATH, '', value)}"
    return mistake.remedy


ORIGIN_REMEDY: Final = (
    "write SCHEME://HOST or SCHEME://HOST:PORT in small letters, without a path, or * alone for every page"
)


def origin_mistake(value: str) -> str:
    """Says what to write instead of an origin that no browser sends; empty if it is good."""
    if re.fullmatch(ORIGIN, value) is not None:
        return f"browsers leave out the usual port: write {value.rpartition(':')[0]}" if names_usual_port(value) else ""
    found = re.fullmatch(r"\s*((?P<scheme>[A-Za-z][-A-Za-z0-9+.]*)://)?(?P<host>[^/?#@\s]+)([/?#\s][^@]*)?", value)
    if found is None:
        return ORIGIN_REMEDY
    better = f"{found['scheme'] or 'https'}://{found['host']}".lower()
    return f"write {better}" if better != value and not origin_mistake(better) else ORIGIN_REMEDY


def names_usual_port(origin: str) -> bool:
    """Returns whether it names the port that its scheme implies, which no browser does."""
    return (origin.startswith("https://") and origin.endswith(":443")) or (
        origin.startswith("http://") and origin.endswith(":80")
    )


def is_collector(value: str) -> bool:
    """Returns whether a path can be added to it, as for a collector of spans: an HTTP server's URL without query and
    fragment."""
    return is_url(value) and re.search(r"[\s?#]", value) is None


def is_service(url: str, service: str, namespace: str) -> bool:
    """Returns whether a URL names a Service, in one of the ways that resolve inside the cluster."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    short = f"{service}.{namespace}"
    return host in (service, short, f"{short}.svc") or host.startswith(f"{short}.svc.")


class ServerName(NamedTuple):
    """A server is a host, in the one spelling by which two of them can be compared, and a port."""

    host: str  # small letters, without a dot at its end; IPv6 without brackets, in its shortest form
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> ServerName:
        name = host.lower().rstrip(".")
        try:
            return cls(str(ipaddress.ip_address(name)), port)
        except ValueError:
            return cls(name, port)

    def shown(self, *, with_port: bool) -> str:
        """Returns it as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if with_port else host


def server_of(url: str) -> ServerName:
    """Returns the server that a good URL names; the port is the scheme's own if it names none."""
    parts = urlsplit(url)
    return ServerName.of(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def shown_server(url: str) -> str:
    """Returns the server that a good URL names, as it stands there: with a port if the URL says one."""
    return server_of(url).shown(with_port=urlsplit(url).port is not None)


def host_and_port(text: str) -> tuple[str, int] | None:
    """Reads HOST:PORT or [V6]:PORT, where a program listens; HOST may be empty. None for anything else."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if (":" in bare) != bracketed or not set("[]").isdisjoint(bare):
        return None  # the last group of an IPv6 address would be taken for the port
    return bare, int(port)


def is_inside(network: Network, other: Network) -> bool:
    """Returns whether `other` lies in `network`, whole."""
    if isinstance(network, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return other.subnet_of(network)
    return (
        isinstance(network, ipaddress.IPv6Network)
        and isinstance(other, ipaddress.IPv6Network)
        and other.subnet_of(network)
    )


def is_host(value: str) -> bool:
    """Returns whether it can be resolved, or is an address; of IPv6 in brackets."""
    return re.fullmatch(HOST, value) is not None


def is_url(value: str) -> bool:
    """Returns whether it names an HTTP server, with or without port and path. Credentials in it are refused."""
    return re.fullmatch(URL, value) is not None


def is_proxy_url(value: str) -> bool:
    """Returns whether it names an HTTP proxy; the port must be there, as proxies have no common one."""
    return re.fullmatch(PROXY_URL, value) is not None


def is_network(value: str) -> bool:
    """Returns whether it names a network as ADDRESS/BITS. IPv4 inside IPv6 is refused, as the API server does."""
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return re.fullmatch(CIDR, value) is not None and getattr(network.network_address, "ipv4_mapped", None) is None
