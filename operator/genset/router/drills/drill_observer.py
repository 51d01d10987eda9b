"""A drill's observer hears how its requests ended: nobody else does, but for the books of what they have used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

from genset.continuity.drills.measure import Probe
from genset.router.backends.mask import Mask
from genset.router.exchange.reception import RequestObserver
from genset.router.exchange.record import Record
from genset.router.shared import Unrouted


@final
class DrillObserver(RequestObserver):
    """This observer keeps the probes that have ended. `used` books what each of them has used."""

    __slots__ = ("_names", "_used", "probes")

    def __init__(self, used: Callable[[Record, float], None]) -> None:
        self._used = used
        self.probes: list[Probe] = []
        self._names: list[bytes] = []  # of the same requests

    @property
    def unlogged(self) -> str:
        return ""

    def began(self, record: Record, mask: Mask) -> None:
        """Notes nothing: a probe counts once it has ended."""

    def finished(self, record: Record, now: float) -> None:
        machine = record.routed
        attempt = machine.candidates.attempt if machine is not None else None
        candidate = attempt.candidate if attempt is not None else None
        self._names.append(record.identity)
        self.probes.append(
            Probe(
                record.route,
                record.received,
                record.first_token or None,
                now,
                not record.word and record.status == 200,
                candidate.backend.name if candidate is not None else "",
                candidate.tier if candidate is not None else 0,
                machine is not None and machine.continuing,
            )
        )
        self._used(record, now)

    def heard(self, probe: Probe) -> None:
        """Takes what became of a client's request."""
        self._names.append(b"")
        self.probes.append(probe)

    def said_nothing(self, identity: bytes) -> None:
        """Takes back that a request was answered: its client got no text."""
        for place in range(len(self._names) - 1, -1, -1):
            if self._names[place] == identity:
                self.probes[place] = replace(self.probes[place], first=None)
                return

    def refused(self, request: Unrouted) -> None:
        """Notes nothing: the probes are well-formed."""

    def answered(self, request: Unrouted) -> None:
        """Notes nothing: probes ask for answers of backends alone."""

    def made_way(self, what: str, count: int) -> None:
        """Notes nothing: a drill has room of its own."""

    def continued(self, outcome: str) -> None:
        """Notes nothing: a probe tells by itself whether it was continued."""
