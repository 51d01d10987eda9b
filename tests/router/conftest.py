"""Router tests run on uvloop, as the router does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping

import pytest
import uvloop

from genset.router.http import connect
from tests.support.router.names import Names


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """FakeDns in place of getaddrinfo: a name server that tests can change and break."""
    fake = Names()

    def getaddrinfo(host: str) -> tuple[str, ...]:
        if fake.down:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in fake.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return fake.known[host]

    monkeypatch.setattr(connect, "_getaddrinfo", getaddrinfo)
    return fake
