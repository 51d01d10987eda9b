"""Names are a house of pods on the loopback: a name server that tests change and break, and pods that share a port."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from testbed.upstream.scripted import ScriptedUpstream


class Names:
    """Names hold what FakeDns answers: host -> addresses; a missing host has none."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.down = False


def free_port() -> int:
    """Returns a port that is free on every loopback address (pods of a Service share their port)."""
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])


async def pod(stack: contextlib.AsyncExitStack, host: str, port: int, **more: Any) -> ScriptedUpstream:
    upstream = ScriptedUpstream(host=host, **more)
    upstream.port = port
    return await stack.enter_async_context(upstream)
