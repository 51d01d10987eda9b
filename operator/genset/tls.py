"""One decision for every TLS client of genset: how strictly a certificate is read.

Python 3.13 turned on OpenSSL's VERIFY_X509_STRICT by default, which refuses certificates without an Authority Key
Identifier. Private CAs made with openssl's own defaults lack it, and so do some API servers. The chain, the host name and
the dates are verified as ever; only that formality of RFC 5280 is not demanded.
"""

from __future__ import annotations

import ssl


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, without VERIFY_X509_STRICT."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def client_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """A verifying client context: trusts `ca_pem` (PEM) where given, else the system's authorities. Raises ssl.SSLError."""
    return lenient(ssl.create_default_context(cadata=ca_pem))
