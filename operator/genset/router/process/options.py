"""How a router process listens, leaves and tells of itself: what its command line and environment say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from genset.router.http import client_timeouts
from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.machine import patience
from genset.router.machine.patience import Timeouts

log = logging.getLogger(__name__)

DRAIN_GRACE_SECONDS: Final = 5.0  # in which new connections are still taken after SIGTERM: Services forget pods late
ADMIN_HEAD_SECONDS: Final = 10.0  # from the first byte of a request to the admin port to its end
ADMIN_IDLE_SECONDS: Final = 30.0  # between requests there; also without a byte taken of an answer


def _log(line: str) -> None:
    log.info("%s", line)


@dataclass(frozen=True, slots=True)
class AdminTimeouts:
    """The times are seconds that clients of the admin port have.

    `head`: from a request's first byte to its end. `idle`: between two requests, and without a byte taken of an answer.
    """

    head: float = ADMIN_HEAD_SECONDS
    idle: float = ADMIN_IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a router listens and leaves."""

    listen: tuple[str, int]
    admin: tuple[str, int] | None
    drain_grace: float = DRAIN_GRACE_SECONDS
    access_log: int | None = 1  # file descriptor; None: no log
    must_load: bool = False  # no first configuration: fail instead of waiting for one
    environment: Mapping[str, str] = field(default_factory=dict)  # OTEL_*, HOSTNAME
    shortcuts: bool = True  # whether streams may be read with frames and templates
    tell: Callable[[str], None] = _log  # what it says of itself when it has begun, line by line
    timeouts: Timeouts = patience.DEFAULT  # of attempts: those that no route sets
    client_timeouts: ClientTimeouts = client_timeouts.DEFAULT
    admin_timeouts: AdminTimeouts = AdminTimeouts()
