"""Programs listen on IPv6 and IPv4, as far as the machine has them: real sockets, on loopback addresses."""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from typing import Any

import pytest

from genset.listening import listen


def reaches(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def port_of(sockets: list[socket.socket]) -> int:
    (port,) = {one.getsockname()[1] for one in sockets}
    return int(port)


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", {"127.0.0.1", "::1"}),
        ("", {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),
        ("127.0.0.1", {"127.0.0.1"}),
        ("::1", {"::1"}),
    ],
)
def test_who_reaches_what(host: str, reached: set[str]) -> None:
    sockets = listen(host, 0)
    port = port_of(sockets)
    assert {address for address in ("127.0.0.1", "::1") if reaches(address, port)} == reached
    for one in sockets:
        one.close()


def test_a_name_with_several_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = listen("here", 0)
    monkeypatch.undo()
    assert len(sockets) == 2 and reaches("127.0.0.1", port_of(sockets)) and reaches("::1", port_of(sockets))
    for one in sockets:
        one.close()


def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kernel that was started with ipv6.disable=1 answers socket(2)."""
    real = socket.socket

    class WithoutIPv6(real):  # type: ignore[valid-type, misc]
        def __init__(self, family: int = -1, *arguments: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **named)

    monkeypatch.setattr(socket, "socket", WithoutIPv6)
    for host in ("::", "localhost"):
        with closing(listen(host, 0)[0]) as listening:
            assert listening.family == socket.AF_INET
            monkeypatch.setattr(socket, "socket", real)
            assert reaches("127.0.0.1", listening.getsockname()[1])
            monkeypatch.setattr(socket, "socket", WithoutIPv6)


def test_a_port_in_use_is_an_error_not_a_family_that_is_left_out() -> None:
    with closing(listen("::", 0)[0]) as taken:
        with pytest.raises(OSError, match="in use"):
            listen("::", taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            listen("::1", taken.getsockname()[1])


def test_no_address_of_this_machine() -> None:
    with pytest.raises(OSError):
        listen("192.0.2.1", 0)
