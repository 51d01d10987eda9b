"""Demand is what the router tells the operator about deployments that may rest (`/-/demand`).

The operator wakes these deployments and puts them to rest; the router only reports. One `Demand` stands for a
deployment, whichever backends point at it, and outlives configurations. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genset.contracts.router_admin import DemandReport, DeploymentDemand


class Demand:
    """A demand counts the requests for one deployment. Times are monotonic seconds."""

    __slots__ = ("in_flight", "last")

    def __init__(self) -> None:
        self.last: float | None = None  # when a request last asked for the deployment; None: never
        self.in_flight = 0

    def asked(self, now: float) -> None:
        """Notes a request that would go there, waits for it, or goes elsewhere only because the deployment rests."""
        self.last = now

    def entered(self, now: float) -> None:
        """Counts a request that is being sent to the deployment."""
        self.last = now
        self.in_flight += 1

    def left(self, now: float) -> None:
        """Counts a request to the deployment that has ended, whatever its outcome."""
        self.last = now
        self.in_flight -= 1


class Demands:
    """Demands holds, by name, every deployment that this router was ever configured to wake."""

    def __init__(self) -> None:
        self._demands: dict[str, Demand] = {}

    def of(self, deployment: str) -> Demand:
        found = self._demands.get(deployment)
        if found is None:
            found = self._demands[deployment] = Demand()
        return found

    def report(self, now: float, began: float, wakeable: Iterable[str], waiting: Mapping[str, int]) -> DemandReport:
        """Returns what `/-/demand` reports. `began` is when this process started: it knows of no request before.

        `wakeable` names the deployments that the configuration in force may wake. One that it no longer names is
        reported for as long as a request runs there. `waiting` counts the requests that wait for a deployment, by its
        name.
        """
        wanted = set(wakeable)
        deployments = {
            name: DeploymentDemand(
                None if demand.last is None else round(max(0.0, now - demand.last), 3),
                demand.in_flight,
                waiting.get(name, 0),
            )
            for name, demand in sorted(self._demands.items())
            if name in wanted or demand.in_flight
        }
        return DemandReport(round(now - began, 3), deployments)
