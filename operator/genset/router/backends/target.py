"""A target is where a backend is and how it wants to be asked: all that sockets and request heads need to know."""

from __future__ import annotations

from typing import Final, NamedTuple, final
from urllib.parse import urlsplit

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.pricing.price import Price
from genset.router.backends.abilities import lacks_of
from genset.router.backends.credentials import Credentials, MissingCredential, ResumingContext, tls_context
from genset.router.backends.forwarded import HOUSE_REQUEST_HEADERS, REQUEST_HEADERS
from genset.router.backends.identity import Identity
from genset.router.backends.shape import LoraChoice, Shape
from genset.router.dialects.base import Dialect
from genset.router.dialects.responses.words import WIRE as RESPONSES
from genset.router.providers import PROVIDERS, Provider

#: Time for one SYN that is lost and sent again after 1 s (RFC 6298, 2.1). A server drops SYNs while its accept queue is
#: full; with the default queue of cpp-httplib or of Python that is the sixth of a burst.
CONNECT_LOCAL_SECONDS: Final = 1.5
CONNECT_CLOUD_SECONDS: Final = 2.0
HANDSHAKE_SECONDS: Final = 2.0  # added for TLS or a proxy, which need further round trips


#: What a configuration calls a header that holds the key -> its name, and what stands before the key.
_KEY_HEADERS: Final = {
    "Authorization": (b"authorization", b"Bearer "),
    "XApiKey": (b"x-api-key", b""),
    "ApiKey": (b"api-key", b""),
}
#: Providers whose own servers have another host for each customer.
_OF_EACH_CUSTOMER: Final = ("azureOpenAI", "bedrock")
DEPLOYMENTS: Final = (
    "/deployments/"  # in a base path of Azure's, in front of the name: no list of models lies behind it
)


class Proxy(NamedTuple):
    """An egress proxy is asked with CONNECT. `credentials` is `user:password`, or b""."""

    host: str
    port: int
    credentials: bytes


def _may_be_router(url: UrlTarget, provider: Provider) -> bool:
    """Returns whether a request may come back from a URL: from any but a provider's own. Routers speak several providers' APIs,
    and gateways of other makes may stand before one."""
    return url.base_url != provider.base_url and provider.name not in _OF_EACH_CUSTOMER


@final
class Target:
    """A target is the way to one backend as its configuration says it, read once and never changed.

    `host` and `port` are those of its URL, "" and 0 if DNS returns its addresses. `continuation` names the rule by
    which it continues answers; `continuation_path` is the base path of a continuation by prefix, if that differs.
    `forwarded` names the client's headers that go to the backend. `tls` is None for plain HTTP, `health_path` if
    nothing is probed. `own_lines` are header lines that each request has, the key's among them; `secrets` are the values in
    them that nobody may see. `query` stands behind each path. `dialect` is what it speaks if not OpenAI's chat, and `wire` the
    name of that API, for clients who speak it, too; "" for OpenAI's chat. `lacks` is what it cannot do. `shape` says how the body
    of a request differs from the client's; None if only its model does. `identity`: who the router is there, if a token of
    `token_server` takes the place of a key.
    """

    __slots__ = (
        "base_path",
        "connect_seconds",
        "continuation",
        "continuation_path",
        "dialect",
        "forwarded",
        "health_path",
        "host",
        "identity",
        "key",
        "lacks",
        "may_be_router",
        "model",
        "own_lines",
        "port",
        "price",
        "probe_path",
        "provider",
        "proxy",
        "query",
        "secrets",
        "shape",
        "tls",
        "token_server",
        "wire",
    )

    def __init__(self, config: BackendConfig, credentials: Credentials) -> None:
        """Raises MissingCredential if a file that the configuration names is missing or cannot be used."""
        url, local = config.url, config.kind == "local"
        self.model: Final[str] = config.model
        self.provider: Final[Provider] = PROVIDERS[url.provider if url is not None else "openAICompatible"]
        self.lacks: Final = lacks_of(config)
        self.identity: Final = Identity() if url is not None and url.identity is not None else None
        self.token_server: Final = _token_server(config, credentials)
        by_responses = url is not None and url.api == "Responses"
        self.dialect: Final[Dialect | None] = self.provider.responses if by_responses else self.provider.dialect
        self.wire: Final[str] = RESPONSES if by_responses else self.provider.wire
        chosen = (url.forward_headers if url is not None else None) or ()
        self.forwarded: Final = HOUSE_REQUEST_HEADERS if local else tuple(h for c in chosen for h in REQUEST_HEADERS[c])
        self.may_be_router: Final = url is not None and _may_be_router(url, self.provider)
        seconds = CONNECT_LOCAL_SECONDS if local else CONNECT_CLOUD_SECONDS
        health_path = config.local.health_path if config.local is not None else None
        host, port, base_path, key = "", 0, "/v1", b""
        lines, secrets, query, added = b"", [], "", None
        key_header, key_prefix = self.provider.key_header, self.provider.key_prefix
        continuation_path: str | None = None
        tls: ResumingContext | None = None
        proxy: Proxy | None = None
        if url is not None:
            parts = urlsplit(url.base_url)
            secure = parts.scheme == "https"
            host, port = parts.hostname or "", parts.port or (443 if secure else 80)
            base_path = parts.path.rstrip("/")
            health_path = url.health_path
            if url.base_url == self.provider.base_url:
                continuation_path = self.provider.continuation_path
            if url.key_header is not None:
                key_header, key_prefix = _KEY_HEADERS[url.key_header]
            if url.key_file:
                key = _key(credentials, url.key_file, config.name)
                lines = b"%b: %b%b\r\n" % (key_header, key_prefix, key)
                secrets.append(key)
            for header in url.headers or ():
                value = (header.value or "").encode()
                if header.file is not None:
                    value = _value(credentials, header.file, config.name)
                    secrets.append(value)
                lines += b"%b: %b\r\n" % (header.name.encode(), value)
            query = f"?{url.query}" if url.query is not None else ""
            added = url.body
            ca = credentials.read(url.ca_file, config.name) if url.ca_file else None
            if url.proxy_url:
                at, file = urlsplit(url.proxy_url), url.proxy_credentials_file
                user = credentials.read(file, config.name).strip() if file else b""
                proxy = Proxy(at.hostname or "", at.port or 3128, user)
            if secure:
                tls = tls_context(
                    ca, config.name, credentials.site_ca
                )  # already here, so that a bad CA file refuses the configuration
            if secure or proxy is not None:
                seconds += HANDSHAKE_SECONDS
        self.price: Final[Price | None] = Price(config.price) if config.price is not None else None
        self.continuation: Final[str] = config.continuation
        self.connect_seconds: Final[float] = seconds
        self.health_path: Final[str | None] = health_path
        self.host: Final[str] = host
        self.port: Final[int] = port
        self.base_path: Final[str] = base_path
        self.continuation_path: Final[str | None] = continuation_path
        self.key: Final[bytes] = key
        self.own_lines: Final[bytes] = lines
        self.secrets: Final[tuple[bytes, ...]] = tuple(secrets)
        self.query: Final[str] = query
        self.probe_path: Final[str] = base_path.partition(DEPLOYMENTS)[0] + self.provider.probe_path + query
        fields = self.provider.fields
        lora = LoraChoice(config.model, config.adapters or ()) if config.adapter_list == "Paths" else None
        shaped = fields is not None or bool(added) or lora is not None
        self.shape: Final[Shape | None] = Shape(self.provider, added, lora) if shaped else None
        self.tls: Final[ResumingContext | None] = tls
        self.proxy: Final[Proxy | None] = proxy


def _token_server(config: BackendConfig, credentials: Credentials) -> Target | None:
    """Returns where the tokens of a target are given out, by the same proxy; None if it takes none."""
    url = config.url
    if url is None or url.identity is None:
        return None
    server = UrlTarget(
        base_url=url.identity.token_url,
        provider="openAICompatible",
        proxy_url=url.proxy_url,
        proxy_credentials_file=url.proxy_credentials_file,
        ca_file=url.ca_file if url.identity.token_url.startswith("https:") else None,
    )
    return Target(config.model_copy(update={"url": server}), credentials)


def _value(credentials: Credentials, file: str, backend: str) -> bytes:
    value = credentials.read(file, backend).strip()
    if any(byte < 32 or byte >= 127 for byte in value):
        raise MissingCredential(
            f"backend {backend}: credential file {file} holds line breaks or strange bytes; put the header's value alone there"
        )
    return value


def _key(credentials: Credentials, file: str, backend: str) -> bytes:
    key = credentials.read(file, backend).strip()
    if any(byte <= 32 or byte >= 127 for byte in key):
        raise MissingCredential(
            f"backend {backend}: credential file {file} holds more than one word or strange bytes; put the key alone there"
        )
    return key
