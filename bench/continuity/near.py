"""The near side of the wire: the network that the peers and their clients see, with a name server that can die."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from bench.continuity.faults import NAME_SERVER, NEAR, Fault, Side
from bench.continuity.wire import end
from bench.install import ROOT
from bench.network import isolate

CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
RESOLVER: Final = "/etc/resolv.conf"


def enter(folder: Path, roots: Sequence[Path]) -> int:
    """Moves this process into a network with nothing but the wire, and returns the wire's end. `roots`: file systems of peers."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        raise click.ClickException("network namespaces and a TUN device need root on Linux, with /dev/net/tun")
    if not isolate():
        raise click.ClickException("the kernel allows no network namespace here")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise click.ClickException("the kernel allows no mount namespace here")
    own = folder / "resolv.conf"
    own.write_text(f"nameserver {NAME_SERVER}\n")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for root in (Path("/"), *roots):
        resolver = root / RESOLVER.lstrip("/")
        target = resolver.resolve() if resolver.exists() else resolver
        if not target.exists():
            target.touch()
        subprocess.run(["mount", "--bind", str(own), str(target)], check=True)
    return end("near", NEAR)


class FarSideOfWire:
    """Orders what happens on the far side, which is another process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def begin(self, fault: Fault, side: Side) -> None:
        await self._order(do="fault", fault=fault.name, side=side.value)

    async def end(self, fault: Fault, side: Side) -> None:
        await self._order(do="peace", fault=fault.name, side=side.value)

    async def asked(self) -> dict[str, list[str]]:
        """Returns which models each side was asked for since this was called last."""
        found: dict[str, list[str]] = await self._order(do="asked", side=Side.CLOUD.value)
        return found

    async def answer(self) -> Any:
        """Returns what it says next. Raises ClickException if it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise click.ClickException("the far side of the wire has ended; see what it says above")
        return json.loads(line)

    async def _order(self, **order: str) -> Any:
        assert self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            return await self.answer()


@contextlib.asynccontextmanager
async def far_side(near: int, folder: Path) -> AsyncIterator[FarSideOfWire]:
    """Runs the far side for the length of a block."""
    os.set_inheritable(near, True)
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "bench.continuity.far", str(near), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "operator")])}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, pass_fds=[near], env=environment, cwd=ROOT
    )
    try:
        side = FarSideOfWire(process)
        await side.answer()
        yield side
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
