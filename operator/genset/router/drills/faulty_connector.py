"""A faulty connector opens connections for the requests of a drill, and keeps what the drill takes away from being reached."""

from __future__ import annotations

from genset.contracts.drill import Fault
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.target import Target
from genset.router.drills.refusals import REFUSING
from genset.router.drills.wire import Faults, Wire
from genset.router.http.connect import ConnectFailed, Connector, Resolver
from genset.router.http.outbox import Outbox
from genset.router.http.upstream import UpstreamConnection


class FaultyConnector(Connector):
    """This connector belongs to one drill; nobody else opens connections by it."""

    def __init__(self, resolver: Resolver, outbox: Outbox, faults: Faults) -> None:
        super().__init__(resolver, outbox)
        self._faults = faults

    async def open(self, target: Target, endpoint: Endpoint) -> UpstreamConnection:
        """Opens a connection as `Connector.open` does. Raises ConnectFailed."""
        faults = self._faults
        if faults.on and target in faults.targets:
            faults.meet()
            if faults.fault is Fault.REFUSED:
                raise ConnectFailed(f"could not connect to {endpoint.name}: Connection refused")
            if faults.fault is Fault.BLACKHOLE:
                await faults.lifted.wait()  # whoever waits gives up before
            elif faults.fault in REFUSING:
                return self._wired(UpstreamConnection(endpoint), target, None)
        if faults.stopped:
            raise ConnectFailed("the drill has ended")
        connection = await super().open(target, endpoint)
        return self._wired(connection, target, connection.transport) if target in faults.targets else connection

    def _wired(self, connection: UpstreamConnection, target: Target, socket: object) -> UpstreamConnection:
        connection.connection_made(Wire(self._faults, target, connection, socket))  # type: ignore[arg-type]
        return connection
