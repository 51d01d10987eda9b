"""A program that listens everywhere listens on IPv6 and IPv4, as far as its machine has the two.

Asked for `::`, a socket of IPv6 takes clients of IPv4, too, if that is said of it; asyncio and http.server say the
opposite, or nothing. A machine whose kernel has no IPv6 (`ipv6.disable=1`) gets a socket of IPv4 instead.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

EVERY_ADDRESS: Final = "::"
#: The machine does not have the family, or not this address: bind(2), socket(2).
_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def listen(host: str, port: int, backlog: int = 128) -> list[socket.socket]:
    """Returns sockets that listen on every address of `host` that the machine has, all on one port.

    `host` is a name or an address; `::` and "" mean every address of both families. Port 0 is any free one. Raises
    OSError.
    """
    if host in ("", EVERY_ADDRESS):
        return [_everywhere(port, backlog)]
    found: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                found.append(socket.create_server((address[0], port), family=family, backlog=backlog))
            except OSError as problem:
                if problem.errno not in _ABSENT:
                    raise
                absent = problem
            else:
                port = int(found[-1].getsockname()[1])
    except OSError:
        for one in found:
            one.close()
        raise
    if not found:
        raise absent or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    return found


def _everywhere(port: int, backlog: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                (EVERY_ADDRESS, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
            )
        except OSError as problem:
            if problem.errno not in _ABSENT:
                raise
    return socket.create_server(("", port), family=socket.AF_INET, backlog=backlog)
