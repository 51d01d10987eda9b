"""How a router process listens, leaves and tells of itself: what its command line and environment say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


def _log(line: str) -> None:
    log.info("%s", line)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a router listens and leaves."""

    listen: tuple[str, int]
    admin: tuple[str, int] | None
    drain_grace: float = 5.0  # seconds in which new connections are still taken after SIGTERM
    access_log: int | None = 1  # file descriptor; None: no log
    must_load: bool = False  # no first configuration: fail instead of waiting for one
    environment: Mapping[str, str] = field(default_factory=dict)  # OTEL_*, HOSTNAME
    tell: Callable[[str], None] = _log  # what it says of itself when it has begun, line by line
