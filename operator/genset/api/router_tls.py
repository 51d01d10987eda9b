"""TLS at the port where clients reach the routers."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import ApiModel, Name, SecretKeyRef


class TlsSecretRef(ApiModel):
    """A Secret of type kubernetes.io/tls in the namespace of the resource, as cert-manager makes it."""

    name: Name = Field(description="Name of the Secret, with tls.crt and tls.key.")


class RouterTls(ApiModel):
    """The certificate of the routers, and whose clients they answer."""

    secret_ref: TlsSecretRef = Field(
        description="Certificate and key. When they are renewed, new connections get the new ones, and those that stand go on."
    )
    client_ca_secret_ref: SecretKeyRef | None = Field(
        default=None,
        alias="clientCASecretRef",
        description="Certificates of the CA whose clients may connect; who shows no certificate of it gets no connection. "
        "Default: anybody may connect.",
    )
