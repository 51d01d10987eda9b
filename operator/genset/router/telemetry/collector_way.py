"""Spans go to a policy's collector by a way that an administrator has laid: to no address that is off limits, through the site's
proxy, with the site's certificates.

The address is looked at after the connection is made and before a byte is sent, so that no second look-up can give
another one.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from genset.off_limits import OffLimits
from genset.router.backends.credentials import MissingCredential
from genset.router.telemetry.wanted import Way
from genset.tls import lenient


def session_of(way: Way) -> requests.Session:
    """Returns a session that goes this way; without a proxy of its own the environment's is taken. Raises MissingCredential."""
    session = requests.Session()
    if way.proxy:
        session.trust_env = False  # the environment's proxies would come first
        session.proxies.update(http=way.proxy, https=way.proxy)
    adapter = _Adapter(way.off_limits or OffLimits(()), _trusted(way.ca))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _trusted(ca: bytes) -> ssl.SSLContext:
    context = lenient(ssl.create_default_context())
    try:
        if ca:
            context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as problem:
        raise MissingCredential(
            f"siteCaFile holds no PEM certificates ({problem}); put the authority's there"
        ) from problem
    return context


class _Adapter(HTTPAdapter):
    def __init__(self, off_limits: OffLimits, trusted: ssl.SSLContext) -> None:
        self._off_limits = off_limits
        self._trusted = trusted
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._trusted)
        self.poolmanager.pool_classes_by_scheme = _guarded(self._off_limits)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._trusted)
        manager.pool_classes_by_scheme = _guarded(self._off_limits)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self._off_limits.names(urlsplit(request.url or "").hostname or ""):  # behind a proxy nobody else would look
            raise requests.ConnectionError("the collector is at an address that no router may dial")
        return super().send(request, *args, **kwargs)


def _guarded(off_limits: OffLimits) -> dict[str, Any]:
    """Returns pools by scheme whose connections are looked at once they stand."""

    def looked_at(connection: HTTPConnection, sock: Any) -> Any:
        if off_limits.holds(str(sock.getpeername()[0])):
            sock.close()
            raise NewConnectionError(connection, "the collector is at an address that no router may dial")
        return sock

    class Plain(HTTPConnection):
        def _new_conn(self) -> Any:
            return looked_at(self, super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> Any:
            return looked_at(self, super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
