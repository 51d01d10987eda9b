"""The server book remembers what routers say of servers elsewhere, by the policies whose routers said it.

The reconcile of a policy fills it, and has the ModelDeployments reconciled of which something is new.
"""

from __future__ import annotations

from collections.abc import Iterable

from genset.controllers.keys import Key
from genset.controllers.loads import LoadBook
from genset.status.observed import CompletionProbe
from genset.status.servers import Probes, together


class ServerBook:
    """The server book knows, by policy, the servers that its routes use and what its routers have met there.

    `loads`: what routers have seen of all models' pace.
    """

    def __init__(self) -> None:
        self.loads = LoadBook()
        self._told: dict[Key, Probes] = {}

    def heard(self, policy: Key, probes: Probes) -> set[str]:
        """Takes what a policy's routers say. Returns the ModelDeployments, by name, of which that is news."""
        before = self._told.get(policy, {})
        self._told[policy] = probes
        return {
            name for name in before.keys() | probes.keys() if name not in before or before[name] != probes.get(name)
        }

    def drop(self, policy: Key) -> set[str]:
        """Forgets a policy that is gone. Returns the ModelDeployments that its routes used."""
        self.loads.drop(policy)
        return set(self._told.pop(policy, {}))

    def known(self, namespace: str, deployment: str, policies: Iterable[str]) -> CompletionProbe | None:
        """Returns what the routers of these policies know of a server; None: nothing yet."""
        wanted = set(policies)
        found = [
            probe
            for key, probes in self._told.items()
            if key.namespace == namespace and key.name in wanted and (probe := probes.get(deployment)) is not None
        ]
        return together(found)
