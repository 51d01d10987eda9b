"""genset's own router, as the operator starts it for a policy that says nothing of failover: defaults throughout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.continuity.faults import NAMES, PLAIN_PORT, Side, base_url
from bench.continuity.peers import Cell, Spot
from bench.peers import Place
from bench.peers.genset import Genset
from genset.contracts.backend_config import BackendConfig, DnsEndpoints, LocalTarget, UrlTarget
from genset.contracts.route_config import FailoverConfig, MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import PolicyRef, RouterConfig
from testbed.router_config import made

_CA, _CREDENTIALS = "ca.pem", "credentials"


class GensetFailover:
    """`genset router`, with a route and two tiers for each cell."""

    name = "genset"
    about = "two tiers, all else by default; the house as pods behind a name, each cell's cloud with a key of its own"

    def __init__(self, failover: FailoverConfig | None = None, *, lasts: bool = False) -> None:
        self.lasts = lasts
        self._failover = failover or made(FailoverConfig)
        self._plain = Genset()

    def install(self) -> None:
        self._plain.install()

    def version(self) -> str:
        return self._plain.version()

    def command(self, spot: Spot) -> list[str]:
        credentials = spot.folder / _CREDENTIALS
        credentials.mkdir()
        (credentials / _CA).write_text(spot.ca_pem)
        for cell in spot.cells:
            (credentials / _key(cell)).write_text(f"key of {cell.name}".replace(" ", "-"))
        place = Place(spot.folder, spot.port, spot.spare_port, 0)
        seen = self._plain.python().place(spot.folder)
        return [
            *self._plain.command(place, config(spot.cells, self._failover)),
            "--credentials",
            f"{seen}/{_CREDENTIALS}",
        ]

    def environment(self, spot: Spot) -> Mapping[str, str]:
        return self._plain.environment()

    def path(self, cell: Cell) -> str:
        return "/v1/chat/completions"


def config(cells: Sequence[Cell], failover: FailoverConfig) -> RouterConfig:
    """Returns what the operator writes for a policy with these cells."""
    return made(
        RouterConfig,
        policy=made(PolicyRef, namespace="bench", name="continuity", generation=1),
        backends=tuple(_backend(cell, side) for cell in cells for side in Side),
        routes=tuple(
            made(
                RouteConfig,
                name=cell.name,
                match=made(MatchConfig, models=(cell.name,)),
                failover=failover,
                tiers=tuple((made(WeightedBackend, backend=_name(cell, side)),) for side in (cell.first, cell.first.other)),
            )
            for cell in cells
        ),
    )  # fmt: skip


def _backend(cell: Cell, side: Side) -> BackendConfig:
    kind = "cloud" if side is Side.CLOUD else "local"
    base = base_url(side, cell.fault)
    if not base.startswith("https:"):
        house = made(LocalTarget, dns=DnsEndpoints(host=NAMES[side], port=PLAIN_PORT))
        return made(BackendConfig, name=_name(cell, side), kind=kind, model=cell.name, local=house)
    key = _key(cell) if side is Side.CLOUD else None
    url = UrlTarget(base_url=base, provider="openAICompatible", ca_file=_CA, key_file=key)
    return made(BackendConfig, name=_name(cell, side), kind=kind, model=cell.name, url=url)


def _name(cell: Cell, side: Side) -> str:
    return f"{cell.name}-{side}"


def _key(cell: Cell) -> str:
    return f"{cell.name}-key"
