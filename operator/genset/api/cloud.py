"""A cloud is one model of one provider: where it is, with which key, and what else its API or gateway wants to be told."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field, GetPydanticSchema
from pydantic_core import core_schema

from genset.api.base import ApiModel, CelRule, SecretKeyRef, rules
from genset.api.base_url import base_url_rules
from genset.api.cloud_header import MOST_HEADERS, CloudHeader
from genset.api.gateways import OpenRouter, Portkey
from genset.api.price import CloudPrice
from genset.api.proxy import Proxy
from genset.api.workload_identity import HOSTS, WorkloadIdentity
from genset.router.providers import PROVIDERS

#: The name of one of the providers, which implies a wire format and a base URL.
ProviderName: TypeAlias = Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(PROVIDERS)))]
#: The provider that implies neither base URL nor ways of its own: any gateway, another site's genset.
COMPATIBLE = "openAICompatible"

_HOMELESS = [name for name, provider in PROVIDERS.items() if provider.base_url is None]
_KEYLESS = [name for name, provider in PROVIDERS.items() if not provider.needs_key]
_RESPONDING = [name for name, provider in PROVIDERS.items() if provider.responses is not None]
_KEY_NAMES = ("authorization", "x-api-key", "api-key")  # of headers that hold keys


class ForwardedHeaders(StrEnum):
    """Groups of client headers that a policy lets go to a provider."""

    TRACE = "Trace"
    IDEMPOTENCY = "Idempotency"
    ATTRIBUTION = "Attribution"


class KeyHeader(StrEnum):
    """The header in which a key is sent."""

    AUTHORIZATION = "Authorization"
    X_API_KEY = "XApiKey"
    API_KEY = "ApiKey"


class CloudApi(StrEnum):
    """An API by which a provider can be asked for chat."""

    CHAT = "Chat"
    RESPONSES = "Responses"


def _only(provider: str, field: str, held: Callable[[Cloud], object]) -> CelRule:
    """Makes the rule that a block of settings belongs to one provider."""
    return CelRule(
        f"self.provider == '{provider}' || !has(self.{field})",
        f"cloud.{field} needs provider {provider}: no other server knows what it says",
        lambda cloud: cloud.provider == provider or held(cloud) is None,
    )


@rules(
    CelRule(
        f"!(self.provider in {_HOMELESS!r}) || has(self.baseURL)",
        "this provider needs baseURL, e.g. https://gateway.corp/v1: it has no address of its own",
        lambda cloud: cloud.provider not in _HOMELESS or cloud.base_url is not None,
    ),
    CelRule(
        f"self.provider in {_KEYLESS!r} || has(self.credentialsSecretRef) || has(self.workloadIdentity)",
        "this provider needs credentialsSecretRef: it answers nobody without a key",
        lambda cloud: (
            cloud.provider in _KEYLESS
            or cloud.credentials_secret_ref is not None
            or cloud.workload_identity is not None
        ),
    ),
    _only("azureOpenAI", "workloadIdentity", lambda cloud: cloud.workload_identity),
    CelRule(
        "!has(self.workloadIdentity) || !(has(self.credentialsSecretRef) || has(self.keyHeader))",
        "cloud.workloadIdentity needs no credentialsSecretRef and no keyHeader: its token is the key",
        lambda cloud: (
            cloud.workload_identity is None or (cloud.credentials_secret_ref is None and cloud.key_header is None)
        ),
    ),
    CelRule(
        f"!has(self.workloadIdentity) || !has(self.baseURL) || self.baseURL.matches(r'{HOSTS}')",
        "cloud.workloadIdentity needs a baseURL of Azure's, e.g. https://RESOURCE.openai.azure.com/openai/v1: nobody else may "
        "see its token",
        lambda cloud: cloud.workload_identity is None or re.match(HOSTS, cloud.base_url or "") is not None,
    ),
    *base_url_rules("cloud.baseURL", optional=True),
    CelRule(
        "!has(self.caSecretRef) || !has(self.baseURL) || self.baseURL.startsWith('https://')",
        "cloud.caSecretRef needs a baseURL with https://: over plain HTTP no certificate is looked at",
        lambda cloud: cloud.ca_secret_ref is None or (cloud.base_url or "https://").startswith("https://"),
    ),
    CelRule(
        "!has(self.keyHeader) || has(self.credentialsSecretRef)",
        "cloud.keyHeader needs credentialsSecretRef: there is no key that it could hold",
        lambda cloud: cloud.key_header is None or cloud.credentials_secret_ref is not None,
    ),
    _only("azureOpenAI", "apiVersion", lambda cloud: cloud.api_version),
    CelRule(
        f"!has(self.api) || self.api != 'Responses' || (self.provider in {_RESPONDING!r} && !has(self.apiVersion))",
        f"cloud.api Responses needs provider {' or '.join(_RESPONDING)}, without apiVersion: no other server is known to have it",
        lambda cloud: cloud.api != CloudApi.RESPONSES or (cloud.provider in _RESPONDING and cloud.api_version is None),
    ),
    CelRule(
        "!has(self.apiVersion) || !has(self.baseURL) || !self.baseURL.matches('/(v1|deployments/.*)/?$')",
        "cloud.apiVersion needs a baseURL that ends in /openai: the deployment follows it; the paths of v1 take no version",
        lambda cloud: cloud.api_version is None or not _is_versioned(cloud.base_url or ""),
    ),
    _only("openRouter", "openRouter", lambda cloud: cloud.open_router),
    _only("portkey", "portkey", lambda cloud: cloud.portkey),
    CelRule(
        f"!has(self.headers) || !has(self.credentialsSecretRef) || self.provider == 'portkey' || "
        f"!self.headers.exists(h, h.name in {list(_KEY_NAMES)!r})",
        f"cloud.headers holds a key ({', '.join(_KEY_NAMES)}) beside that of credentialsSecretRef: leave one of them out",
        lambda cloud: (
            cloud.credentials_secret_ref is None
            or cloud.provider == "portkey"
            or not any(header.name in _KEY_NAMES for header in cloud.headers)
        ),
    ),
)
class Cloud(ApiModel):
    """One model of one provider."""

    provider: ProviderName = Field(description="Whose API it is.")
    model: str = Field(
        pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$",
        min_length=1,
        max_length=256,
        examples=["gpt-5"],
        description="Name of the model at the provider; at Azure OpenAI, of the deployment.",
    )
    base_url: str | None = Field(
        default=None,
        alias="baseURL",
        max_length=1024,
        description="Base URL of the API, with its version, e.g. https://gateway.corp/v1. Default: the provider's own.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="API key, sent as the provider wants it. Only the router sees it."
    )
    key_header: KeyHeader | None = Field(
        default=None,
        strict=False,
        description="Header that holds the key. Authorization: as a bearer token, e.g. one of Entra for Azure. XApiKey: "
        "x-api-key. ApiKey: api-key, e.g. for Claude at Foundry. Default: by the provider.",
    )
    api: CloudApi | None = Field(
        default=None,
        strict=False,
        description="API that is asked for chat. Responses: for models that are served by it alone, and so that requests of "
        "Responses clients pass as they are. Default: Chat.",
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$",
        max_length=18,
        examples=["2024-10-21"],
        description="Version of Azure's older paths by deployment; baseURL then ends in /openai. Default: the paths of v1.",
    )
    workload_identity: WorkloadIdentity | None = Field(
        default=None,
        description="Application of Entra as which routers ask, in place of a key: their ServiceAccount's token is exchanged "
        "for one of Entra, which is renewed before it expires.",
    )
    headers: list[CloudHeader] = Field(
        default_factory=list,
        max_length=MOST_HEADERS,
        description="Headers that each request there has, as gateways want them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    open_router: OpenRouter | None = Field(
        default=None, description="What OpenRouter may do with requests. No client can change it."
    )
    portkey: Portkey | None = Field(default=None, description="Where Portkey sends requests.")
    allow_plain_http: bool = Field(
        default=False,
        alias="allowPlainHTTP",
        description="Send the key to a baseURL with http://, where everybody on the way can read it.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the server, if a private CA does."
    )
    proxy: Proxy | None = Field(default=None, description="Egress proxy on the way to the provider.")
    price: CloudPrice | None = Field(
        default=None,
        description="What it costs. Default: what the release knows of the provider's model at the provider's own address; the "
        "provider's own figure, if it tells one with its answers, comes first. Else it is unknown, and told in PricesKnown.",
    )
    forward_headers: list[Annotated[ForwardedHeaders, Field(strict=False)]] = Field(
        default_factory=list,
        max_length=len(ForwardedHeaders),
        description="Headers of clients that go to the provider. Trace: traceparent and tracestate. Idempotency: "
        "idempotency-key. Attribution: http-referer and x-title, by which OpenRouter names the application. Default: none; "
        "servers of the house get Trace and Idempotency. No client chooses account, organization or project.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


def _is_versioned(url: str) -> bool:
    path = url.rstrip("/")
    return path.endswith("/v1") or "/deployments/" in path
