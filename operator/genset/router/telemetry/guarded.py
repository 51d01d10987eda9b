"""A guarded session sends spans to no address that is off limits, whatever DNS says when it connects.

The address is looked at after the connection is made and before a byte is sent, so that no second look-up can give
another one.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from genset.off_limits import OffLimits


def guarded_session(off_limits: OffLimits) -> requests.Session:
    """Returns a session; a proxy of the environment, which an administrator has set, is not looked at."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(off_limits))
    return session


class _Adapter(HTTPAdapter):
    def __init__(self, off_limits: OffLimits) -> None:
        self._off_limits = off_limits
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        off_limits = self._off_limits

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

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
