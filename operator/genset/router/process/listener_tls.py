"""TLS of the port where clients connect: made anew when its files change, for connections that come from then on."""

from __future__ import annotations

import os
import ssl
import tempfile

from genset.contracts.router_config import TlsConfig
from genset.router.backends.credentials import Credentials, MissingCredential
from genset.tls import lenient


class ListenerTls:
    """A listener's TLS remembers what the context in force was made of: tickets of clients are of use as long as it is."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._made_of: object = None

    def prepare(self, config: TlsConfig | None, credentials: Credentials) -> ssl.SSLContext | None:
        """Returns the context for a configuration; None for plain HTTP. Raises MissingCredential."""
        if config is None:
            return None
        files = (config.certificate_file, config.key_file, config.client_ca_file)
        certificate, key, authority = (credentials.optional(name) for name in files)
        made_of = certificate, key, authority, config.client_ca_file is None
        if made_of != self._made_of or self._context is None:
            self._context = _context(config, certificate, key, authority)
            self._made_of = made_of
        return self._context


def _context(config: TlsConfig, certificate: bytes, key: bytes, authority: bytes) -> ssl.SSLContext:
    context = lenient(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not certificate.strip() or not key.strip():
        missing = config.key_file if certificate.strip() else config.certificate_file
        raise MissingCredential(
            f"tls: {missing} is missing or empty; put it there, or take router.tls out of the policy"
        )
    try:
        _load(context, certificate, key)
    except ssl.SSLError as problem:
        why = f"tls: certificate and key do not belong together ({problem.reason}); write both anew"
        raise MissingCredential(why) from problem
    if config.client_ca_file is not None:
        try:
            context.load_verify_locations(cadata=authority.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as problem:
            raise MissingCredential(
                f"tls: {config.client_ca_file} holds no certificates; put the CA's there"
            ) from problem
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Loads both by a file, because OpenSSL's Python takes no bytes: one in memory, where there is such a thing."""
    both = certificate.rstrip() + b"\n" + key.rstrip() + b"\n"
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("tls"), "wb") as memory:
            memory.write(both)
            memory.flush()
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}")
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by this user alone
        file.write(both)
        file.flush()
        context.load_cert_chain(file.name)
