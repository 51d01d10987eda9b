"""Options are what command line and environment say of how a router process listens, stops and tells of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from genset.router.backends import deadlines
from genset.router.backends.deadlines import AnswerTimeouts
from genset.router.backends.outage import PROBE_SECONDS
from genset.router.drills import run
from genset.router.drills.run import RunTimes
from genset.router.http import client_timeouts
from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.machine import patience
from genset.router.machine.patience import Timeouts
from genset.router.telemetry import access_log, wanted
from genset.router.telemetry.access_log import LogBounds
from genset.router.telemetry.wanted import TraceBounds
from genset.router.watch import verify
from genset.router.watch.verify import VerifyTimeouts

log = logging.getLogger(__name__)

DRAIN_GRACE_SECONDS: Final = 5.0  # after SIGTERM, in which new connections are still taken: Services forget pods late
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
class Bounds:
    """The bounds are deadlines and limits that no policy and no flag sets."""

    attempts: Timeouts = patience.DEFAULT
    answers: AnswerTimeouts = deadlines.DEFAULT
    clients: ClientTimeouts = client_timeouts.DEFAULT
    admin: AdminTimeouts = AdminTimeouts()
    verify: VerifyTimeouts = verify.DEFAULT
    cloud_probe: float = PROBE_SECONDS  # between two probes of the cloud while it is down
    log: LogBounds = access_log.DEFAULT
    traces: TraceBounds = wanted.DEFAULT
    drills: RunTimes = run.DEFAULT


DEFAULT: Final = Bounds()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Server options say how a router listens and stops."""

    listen: tuple[str, int]
    admin: tuple[str, int] | None
    drain_grace: float = DRAIN_GRACE_SECONDS
    access_log: int | None = 1  # file descriptor; None: no access log
    must_load: bool = False  # without a first configuration: fail instead of waiting for one
    environment: Mapping[str, str] = field(default_factory=dict)  # OTEL_*, HOSTNAME
    shortcuts: bool = True  # streams may be read with frames and templates
    spool: Path | None = None  # folder of egress records; None: none can be kept
    tell: Callable[[str], None] = _log  # takes what the router says of itself at its start, line by line
    bounds: Bounds = DEFAULT
