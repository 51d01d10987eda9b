"""The certificate of the routers' own port, as routers are given it.

There is no way back to plain HTTP: while a Secret is missing the last certificate is served on, and without one nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from genset.api.base import SecretKeyRef
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_config import TlsConfig
from genset.desired.context import RoutePolicyContext
from genset.desired.credentials import CA, credential_fault

CERTIFICATE_FILE = "listener.crt"  # in the credentials folder, as the next two
KEY_FILE = "listener.key"
CLIENT_CA_FILE = "listener.ca"
SECRET_TYPE = "kubernetes.io/tls"
CERTIFICATE_ENTRY, KEY_ENTRY = "tls.crt", "tls.key"


def tls_config(resource: RoutePolicy) -> TlsConfig | None:
    """Builds what routers are told of TLS; None if they speak plain HTTP."""
    tls = resource.spec.router.tls
    if tls is None:
        return None
    return TlsConfig(
        certificate_file=CERTIFICATE_FILE,
        key_file=KEY_FILE,
        client_ca_file=CLIENT_CA_FILE if tls.client_ca_secret_ref is not None else None,
    )


def refs(resource: RoutePolicy) -> list[tuple[str, SecretKeyRef]]:
    """Returns (field, reference) of each key of a Secret that a router's port needs."""
    tls = resource.spec.router.tls
    if tls is None:
        return []
    at = "spec.router.tls"
    named = [
        (f"{at}.secretRef", SecretKeyRef(name=tls.secret_ref.name, key=key)) for key in (CERTIFICATE_ENTRY, KEY_ENTRY)
    ]
    if tls.client_ca_secret_ref is not None:
        named.append((f"{at}.clientCASecretRef", tls.client_ca_secret_ref))
    return named


def tls_files(resource: RoutePolicy, context: RoutePolicyContext) -> dict[str, bytes]:
    """Returns the files that `tls_config` names: as they are now, or as they were last while they are of no use.

    Certificate and key change together, or one of them would not fit the other.
    """
    tls = resource.spec.router.tls
    if tls is None:
        return {}
    kept = context.applied_credentials
    files = {file: kept[file] for file in (CERTIFICATE_FILE, KEY_FILE, CLIENT_CA_FILE) if file in kept}
    if not any(pair_faults(resource, context)):
        secret = context.secrets[tls.secret_ref.name]
        files |= {CERTIFICATE_FILE: secret.data[CERTIFICATE_ENTRY], KEY_FILE: secret.data[KEY_ENTRY]}
    if (ref := tls.client_ca_secret_ref) is None:
        files.pop(CLIENT_CA_FILE, None)
    elif ref.name in context.secrets and not credential_fault(
        CA, authority := context.secrets[ref.name].data.get(ref.key, b"")
    ):
        files[CLIENT_CA_FILE] = authority
    return files


def pair_faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[str]:
    """Yields what is wrong with certificate and key; a Secret that is not there is told elsewhere, and counts, too."""
    tls = resource.spec.router.tls
    secret = context.secrets.get(tls.secret_ref.name) if tls is not None else None
    if tls is None:
        return
    at = f"spec.router.tls.secretRef: Secret {tls.secret_ref.name}"
    if secret is None:
        yield f"{at} is not there"
    elif secret.type != SECRET_TYPE and not context.from_files:
        yield (
            f"{at} is of type {secret.type}: only one of type {SECRET_TYPE} is meant to be served with; make it by kubectl "
            "create secret tls, or have cert-manager make it"
        )
    elif fault := _pair_fault(secret.data.get(CERTIFICATE_ENTRY, b""), secret.data.get(KEY_ENTRY, b"")):
        yield f"{at} {fault}"


def _pair_fault(certificate: bytes, key: bytes) -> str:
    try:
        found = x509.load_pem_x509_certificates(certificate)[0].public_key()
    except (ValueError, IndexError):
        return f"holds no certificate in PEM form in {CERTIFICATE_ENTRY}: put the certificate there, and its chain behind it"
    try:
        own = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):
        return f"holds no key in PEM form in {KEY_ENTRY}, or one with a password: put the bare key there"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    same = found.public_bytes(*form) == own.public_bytes(*form)
    return (
        "" if same else f"holds in {KEY_ENTRY} the key of another certificate than the first one in {CERTIFICATE_ENTRY}"
    )
