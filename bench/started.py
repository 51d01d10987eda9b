"""Starts one peer on its core, with a folder and ports of its own, and waits until it answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from bench.measure import wait_until_answers
from bench.peers import Peer, Place
from bench.processes import Cores, running
from testbed.cluster.ports import free_ports


@dataclass(frozen=True)
class Started:
    """A peer that answers at `port` of 127.0.0.1. `headers`: what each request to it must carry."""

    process: Popen[bytes]
    port: int
    headers: Mapping[str, str]


@contextlib.contextmanager
def started(peer: Peer, upstream_port: int, folder: Path, cores: Cores) -> Iterator[Started]:
    """The peer for the length of a block. `folder` is made. Raises ClickException with its log if it gives no answer."""
    port, spare = free_ports(2)
    place = Place(folder, port, spare, upstream_port)
    folder.mkdir(parents=True)
    output, headers = folder / "output.log", peer.headers(place)
    with running(peer.command(place), cores.peer, output, peer.environment(), cores.nice) as process:
        wait_until_answers(peer.name, port, output, lambda: process.poll() is None, headers)
        yield Started(process, port, headers)
