"""A credential is judged here by the router's own demands, before a router is given it: where a condition can tell.

A backend whose credential cannot be used is left out like one whose Secret is missing, so that the others go on serving.
"""

from __future__ import annotations

import json
import re
import ssl

KEY = "key"  # an API key: one word of visible ASCII, because it goes into a header
CA = "ca.crt"  # certificates in PEM form
PROXY = "proxy"  # user:password
HEADER = "header"  # value of one request header: visible ASCII
REGISTRY = "registry"  # a Docker configuration with what it says of registries
BUCKET = "bucket"  # a credentials file of an object store, which the puller judges itself
HEADERS = "headers"  # request headers for the weights puller, which judges them itself

#: What a template would have filled: `${KEY}`, `$(KEY)`, `{{ key }}`, `<your key>`, `<path:secret/data/openai#key>`.
_PLACEHOLDER = re.compile(rb"\$\{.*\}|\$\(.*\)|\{\{.*\}\}|<.*>")


def credential_fault(use: str, content: bytes) -> str:
    """Says why the content cannot serve its use, with the remedy; "" if it can."""
    if not content.strip():
        return "is empty: fill it"
    if use in (HEADERS, BUCKET):
        return ""
    if use == REGISTRY:
        return _registry_fault(content)
    if use == CA:
        return _ca_fault(content)
    if any(byte < 32 or byte >= 127 for byte in content.strip()):
        return "holds line breaks or bytes that are not ASCII: put the bare value there"
    if use in (KEY, HEADER) and _PLACEHOLDER.fullmatch(content.strip()):
        return "holds a placeholder that nobody has filled: put the value itself there"
    if use == KEY and content.strip()[:1] in (b'"', b"'") and content.strip()[:1] == content.strip()[-1:]:
        return "stands in quotes, which would be sent as a part of it: put the bare value there"
    if use == KEY and b" " in content.strip():
        return "holds more than one word: put the bare key there, without `Bearer`"
    if use == PROXY and b":" not in content:
        return "is not of the form user:password"
    return ""


def _registry_fault(content: bytes) -> str:
    try:
        auths = json.loads(content)["auths"]
    except (ValueError, KeyError, TypeError):
        auths = None
    if not isinstance(auths, dict) or not auths:
        return 'is no Docker configuration ({"auths": …}): make it with kubectl create secret docker-registry'
    return ""


def _ca_fault(content: bytes) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError):
        return "holds no certificates in PEM form (-----BEGIN CERTIFICATE-----): put the CA's certificate there"
    return ""
