"""A private certificate authority for tests, as a house or a cloud with its own CA has one."""

from __future__ import annotations

import ssl
from functools import cached_property

import trustme


class Authority:
    """One CA. Servers get certificates for the names they are dialled by."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)

    @cached_property
    def ca_pem(self) -> bytes:
        """What a client must trust, PEM."""
        return self._ca.cert_pem.bytes()

    def server_context(self, *names: str) -> ssl.SSLContext:
        """TLS of a server that is dialled as one of `names` (host names or addresses)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS of a client that trusts this CA alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context
