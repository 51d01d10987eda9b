"""A drill is judged: by its objective, and by whether it has shown anything at all. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from genset.continuity.drills.measure import Probe
from genset.contracts.drill import DrillPhase, Measured, ObjectiveConfig

LEAST_BASELINE = 3  # whole answers of each route before the fault
LEAST_STRUCK = 3  # requests under the fault


def not_in_peace(probes: Iterable[Probe], routes: Collection[str], taken: Collection[str], now: float) -> str:
    """Says why a fault would prove nothing yet: what it takes away has to answer before. "" if it does, on each route.

    A backend that is down anyway would make every drill look good: nothing changes when it is taken away.
    """
    found = [probe for probe in probes if probe.ended < now]
    for route in sorted(routes):
        of_route = [probe for probe in found if probe.route == route]
        if any(not probe.answered for probe in of_route[-LEAST_BASELINE:]):
            return f"requests of route {route} were not answered before the fault"
        if sum(probe.answered and probe.backend in taken for probe in of_route) < LEAST_BASELINE:
            return f"what the drill takes away did not answer route {route} before the fault"
    return ""


def verdict(measured: Measured, objective: ObjectiveConfig, met: int) -> tuple[DrillPhase, str]:
    """Returns how a run has ended, and why. `met`: how many connections and requests have met the fault."""
    if not met or measured.requests < LEAST_STRUCK:
        return DrillPhase.ABORTED, "nothing was proved: no request met the fault" if not met else (
            f"nothing was proved: only {measured.requests} requests ran under the fault"
        )
    missed = list(_missed(measured, objective))
    return (DrillPhase.MISSED, "; ".join(missed)) if missed else (DrillPhase.PASSED, "")


def _missed(measured: Measured, objective: ObjectiveConfig) -> Iterable[str]:
    if measured.rto is None:
        yield "requests were not answered again while the fault lasted"
    elif measured.rto > objective.rto_seconds:
        yield f"requests were answered again after {measured.rto:g} s, and {objective.rto_seconds:g} s are wanted"
    gone = measured.lost + measured.cut + measured.spared
    if gone > objective.lost:
        spared = f", {measured.spared} were spared that would have been" if measured.spared else ""
        yield f"{measured.lost} requests were lost and {measured.cut} cut{spared}, and {objective.lost} may be"
    if measured.give_back is None:
        yield "what was taken away did not answer again after the fault was lifted"
