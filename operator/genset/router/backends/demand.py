"""Who asks for deployments that can rest: what `/-/demand` tells the operator, which wakes them and puts them to rest.

Pure. One `Demand` stands for a deployment, whichever backends lead there, and outlives configurations. The router only
reports; it never decides that a deployment should rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genset.contracts.router_admin import DemandReport, DeploymentDemand


class Demand:
    """Requests for one deployment. Times are monotonic seconds; `last` None: none yet."""

    __slots__ = ("in_flight", "last")

    def __init__(self) -> None:
        self.last: float | None = None
        self.in_flight = 0

    def asked(self, now: float) -> None:
        """A request would be sent there, or waits for it, or went elsewhere only because it rests."""
        self.last = now

    def entered(self, now: float) -> None:
        """A request is being sent there."""
        self.last = now
        self.in_flight += 1

    def left(self, now: float) -> None:
        """It has ended, however."""
        self.last = now
        self.in_flight -= 1


class Demands:
    """All deployments that this router was ever configured to wake, by name."""

    def __init__(self) -> None:
        self._demands: dict[str, Demand] = {}

    def of(self, deployment: str) -> Demand:
        found = self._demands.get(deployment)
        if found is None:
            found = self._demands[deployment] = Demand()
        return found

    def report(self, now: float, began: float, wakeable: Iterable[str], waiting: Mapping[str, int]) -> DemandReport:
        """`began`: when this process did, before which it knows nothing. `wakeable`: by the configuration in force.

        A deployment that is no longer in it is told of for as long as a request runs there.
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
