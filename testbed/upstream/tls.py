"""A private certificate authority serves tests as one serves a house or a cloud that has its own CA."""

from __future__ import annotations

import ssl
from functools import cached_property

import trustme


class Authority:
    """An authority is one CA. Servers get certificates for the names that they are dialled by."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)

    @cached_property
    def ca_pem(self) -> bytes:
        """Returns what a client must trust, in PEM."""
        return self._ca.cert_pem.bytes()

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Returns the TLS context of a server that is dialled as one of `names` (host names or addresses)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Returns the TLS context of a client that trusts this CA alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context
