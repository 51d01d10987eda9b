"""The far side is a process in a network namespace of its own: both places that answer, their name server, and the wire.

`python -m bench.continuity.far DESCRIPTOR FOLDER`. It reads an order a line, as JSON, and answers each with a line.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, cast

from bench.continuity.faults import ADDRESSES, FAULTS, NAME_SERVER, NAMES, PLAIN_PORT, TLS_PORT, Side
from bench.continuity.server import Place, Server
from bench.continuity.wire import Weather, Wire, end
from bench.network import CLONE_NEWNET
from testbed.upstream.tls import Authority

CA_FILE: Final = "ca.pem"
_WEATHER: Final = {"blackhole": Weather(black=True), "loss": Weather(loss=0.5), "latency": Weather(delay=2.0)}


class NameServer(asyncio.DatagramProtocol):
    """The name server knows both names, for 5 s each (RFC 1035)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        place, labels = 12, []
        while data[place]:
            labels.append(data[place + 1 : place + 1 + data[place]].decode())
            place += 1 + data[place]
        question = data[12 : place + 5]
        name, kind = ".".join(labels).lower(), int.from_bytes(data[place + 1 : place + 3], "big")
        address = next((ADDRESSES[side] for side, known in NAMES.items() if known == name), None)
        answers = b""
        if address is not None and kind == 1:
            octets = bytes(map(int, address.split(".")))
            answers = b"\xc0\x0c\x00\x01\x00\x01" + (5).to_bytes(4, "big") + b"\x00\x04" + octets
        flags = 0x8180 if address is not None else 0x8183  # NXDOMAIN
        counts = b"\x00\x01" + (b"\x00\x01" if answers else b"\x00\x00") + b"\x00\x00\x00\x00"
        self._transport.sendto(data[:2] + flags.to_bytes(2, "big") + counts + question + answers, addr)


class FarSide:
    """The far side does what the benchmark orders: a fault of one side, peace, and who was asked."""

    def __init__(self, wire: Wire, authority: Authority) -> None:
        self._wire = wire
        self._places = {side: Place(side) for side in Side}
        self._listening: dict[Side, list[asyncio.Server]] = {side: [] for side in Side}
        self._own = {side: authority.server_context(NAMES[side]) for side in Side}
        self._strangers = {side: Authority().server_context(NAMES[side]) for side in Side}

    async def open(self, side: Side, contexts: dict[Side, ssl.SSLContext]) -> None:
        """Listens at the address of a side."""
        loop = asyncio.get_running_loop()
        place, address = self._places[side], ADDRESSES[side]
        self._listening[side] = [
            await loop.create_server(lambda: Server(place), address, TLS_PORT, ssl=contexts[side], backlog=1024),
            await loop.create_server(lambda: Server(place), address, PLAIN_PORT, backlog=1024),
        ]

    async def start(self) -> None:
        for side in Side:
            await self.open(side, self._own)
        await asyncio.get_running_loop().create_datagram_endpoint(NameServer, (NAME_SERVER, 53))
        self._wire.carry()

    async def obey(self, order: dict[str, Any]) -> Any:
        """Does one thing, and returns what the answer says."""
        side = Side(order["side"])
        if order["do"] == "fault":
            await self._begin(side, str(order["fault"]))
        elif order["do"] == "peace":
            await self._end(side, str(order["fault"]))
        asked = {place.side.value: sorted(place.asked) for place in self._places.values()}
        if order["do"] == "asked":
            for place in self._places.values():
                place.asked.clear()
        return asked

    async def _begin(self, side: Side, name: str) -> None:
        place, fault = self._places[side], FAULTS[name]
        if name == "refused":
            await self._shut(side)
            place.close_all(reset=True)
        elif name == "tls-intercepted":
            await self._shut(side)
            await self.open(side, self._strangers)
        elif name == "half-open":
            self._wire.forget()
        elif name == "dns-dead":
            self._wire.of(NAME_SERVER).black = True
        elif fault.network:
            self._wire.weather[bytes(map(int, ADDRESSES[side].split(".")))] = _WEATHER[name]
        else:
            place.begin(name)
        if fault.closes:
            place.close_all(reset=False)

    async def _end(self, side: Side, name: str) -> None:
        self._wire.weather.clear()
        self._places[side].fault = ""
        if name in ("refused", "tls-intercepted"):
            await self._shut(side)
            await self.open(side, self._own)
        self._places[side].close_all(reset=True)  # what hangs in a fault that is over

    async def _shut(self, side: Side) -> None:
        for server in self._listening[side]:
            server.close()
        self._listening[side] = []


async def main(near: int, device: int, folder: Path) -> None:
    authority = Authority()
    (folder / CA_FILE).write_bytes(authority.ca_pem)
    far = FarSide(Wire(near, device), authority)
    await far.start()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(json.dumps("ready"), flush=True)
    while line := await orders.readline():
        print(json.dumps(await far.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[1]), False)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise SystemExit("a network namespace needs root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    own_end = end("far", NAME_SERVER)
    for address in ADDRESSES.values():
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "far"], check=True)
    asyncio.run(main(int(sys.argv[1]), own_end, Path(sys.argv[2])))
