"""An egress proxy is an HTTP proxy on the way out: of one cloud, or of a whole policy."""

from __future__ import annotations

from pydantic import Field

from genset.addresses import PROXY_REMEDY, PROXY_URL, is_proxy_url
from genset.api.base import ApiModel, CelRule, SecretKeyRef, rules


@rules(
    CelRule(
        f"self.url.matches(r'{PROXY_URL}')",
        f"proxy.url names no server: {PROXY_REMEDY}",
        lambda proxy: is_proxy_url(proxy.url),
    )
)
class Proxy(ApiModel):
    """An egress HTTP proxy; TLS to the provider is made through it by CONNECT."""

    url: str = Field(
        pattern=r"^http://[^\s/@]+:[0-9]{1,5}/?$",
        max_length=512,
        examples=["http://proxy.corp:3128"],
        description="http://HOST:PORT of the proxy.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Key of a Secret with user:password for the proxy (Basic)."
    )
