"""The routers whose continuity is compared, each set as its own documentation recommends for failover.

All of them get the same two places for each of their cells, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.continuity.faults import Fault, Side


@dataclass(frozen=True)
class Cell:
    """A cell is one pair of backends that no other request uses, so that nothing is known of them before its fault.

    `name` is the model that clients ask for, and the one that both places are asked for.
    """

    name: str
    first: Side
    fault: Fault
    stream: bool


@dataclass(frozen=True)
class Spot:
    """A spot is where one run of a peer happens: an empty folder, two free ports, what it must trust, and all cells."""

    folder: Path
    port: int
    spare_port: int
    ca_pem: str
    cells: Sequence[Cell]


class ContinuityPeer(Protocol):
    """One router in the comparison. `lasts`: one process serves all faults, because it takes long to start."""

    name: str
    about: str  # how it is set, and what it cannot be told, for the reader of the table
    lasts: bool

    def install(self) -> None:
        """Gets it, into the user's cache; returns at once when it is there."""

    def version(self) -> str:
        """Of what install() got."""

    def command(self, spot: Spot) -> list[str]:
        """How it is started, in the foreground; may write files into the spot's folder."""

    def environment(self, spot: Spot) -> Mapping[str, str]:
        """Added to its environment."""

    def path(self, cell: Cell) -> str:
        """Where a client asks for a chat completion."""


def peers() -> dict[str, ContinuityPeer]:
    """All peers by name, in the order of the table."""
    from bench.continuity.peers.envoy import EnvoyFailover
    from bench.continuity.peers.genset import GensetFailover
    from bench.continuity.peers.litellm import LiteLlmFailover

    found: tuple[ContinuityPeer, ...] = (GensetFailover(), LiteLlmFailover(), EnvoyFailover())
    return {peer.name: peer for peer in found}
