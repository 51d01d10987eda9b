"""The routers that are compared: one file each, one line in PEERS.

A peer says how it is installed, started and asked for its version; everything else (pinning, load, rounds) is the same
for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

UPSTREAM_MODEL = "bench"


@dataclass(frozen=True)
class Place:
    """Where one run of a peer happens."""

    folder: Path  # empty, for configuration files
    port: int  # to listen on, at 127.0.0.1
    spare_port: int  # for an admin or metrics listener
    upstream_port: int  # of the upstream, at 127.0.0.1

    @property
    def upstream_url(self) -> str:
        """Root of the upstream, without /v1."""
        return f"http://127.0.0.1:{self.upstream_port}"


class Peer(Protocol):
    """One router in the comparison."""

    name: str
    about: str  # what it is, and how it is set, for the reader of the table

    def install(self) -> None:
        """Gets it, into the user's cache; returns at once when it is there."""

    def version(self) -> str:
        """Of what install() got."""

    def command(self, place: Place) -> list[str]:
        """How it is started, in the foreground; may write files into the place's folder."""

    def environment(self) -> Mapping[str, str]:
        """Added to its environment."""

    def headers(self, place: Place) -> Mapping[str, str]:
        """That each request to it must carry."""


def peers() -> dict[str, Peer]:
    """All peers by name, in the order of the table."""
    from bench.peers.aiohttp_proxy import AiohttpProxy
    from bench.peers.booked import Booked
    from bench.peers.envoy import Envoy
    from bench.peers.genset import Genset
    from bench.peers.litellm_proxy import LiteLlm
    from bench.peers.policed import Policed
    from bench.peers.portkey import Portkey
    from bench.peers.vllm_router import VllmRouter, VllmRouterLean

    found: tuple[Peer, ...] = (
        Genset(), Booked(), Policed(), Policed(records=True), Envoy(), VllmRouter(), VllmRouterLean(), AiohttpProxy(), Portkey(),
        LiteLlm(),
    )  # fmt: skip
    return {peer.name: peer for peer in found}
