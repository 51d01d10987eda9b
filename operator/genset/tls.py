"""Every TLS client of genset takes its decisions from here: how strictly a certificate is read, and under which name.

Python 3.13 turned on OpenSSL's VERIFY_X509_STRICT by default, which refuses certificates without an Authority Key
Identifier. Private CAs made with openssl's own defaults lack it, and so do some API servers. The chain, the host name and
the dates are verified as ever; only that formality of RFC 5280 is not demanded.
"""

from __future__ import annotations

import ssl


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """Returns the same context, without VERIFY_X509_STRICT."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def known_as(context: ssl.SSLContext, name: str) -> ssl.SSLContext:
    """Returns the same context, for a server that has another name in its certificate than the one it is dialled by.

    For clients that give no way to say so: asyncio and uvloop make their SSL objects through `wrap_bio`.
    """
    wrap = context.wrap_bio

    def wrap_bio(
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return wrap(incoming, outgoing, server_side, name, session)

    context.wrap_bio = wrap_bio  # type: ignore[method-assign]
    return context


def client_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """Returns a verifying client context, which trusts `ca_pem` (PEM) if given, else the system's authorities.

    Raises ssl.SSLError.
    """
    return lenient(ssl.create_default_context(cadata=ca_pem))
