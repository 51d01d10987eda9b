"""The wire joins two network namespaces, packet by packet, and does to the packets what networks do.

Each end is a TUN device (Documentation/networking/tuntap.rst), so that both kernels speak their own TCP to each other and meet a
blackhole, loss, latency and a firewall as they would outside. tc's netem does the same where a kernel has it; few kernels of
containers and small virtual machines do. Packets are read and written whole, without the device's own header.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import socket
import struct
import subprocess
from dataclasses import dataclass, field
from typing import Final

TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MOST_BYTES: Final = 65536
_TCP, _SYN, _ACK = 6, 0x02, 0x10


def end(name: str, address: str) -> int:
    """Makes one end of the wire in the network namespace of whoever calls, and returns its descriptor. Raises OSError."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    for command in (f"ip addr add {address}/16 dev {name}", f"ip link set {name} up"):
        subprocess.run(command.split(), check=True, capture_output=True)
    return device


@dataclass
class Weather:
    """The weather is what happens to packets to and from one address. `loss`: a share; `delay`: seconds, on the way back."""

    black: bool = False
    loss: float = 0.0
    delay: float = 0.0


@dataclass
class Wire:
    """A wire carries packets between `near`, where the peers are, and `far`, where the servers are.

    It is a firewall, too: a packet of a TCP connection whose beginning it has not seen is dropped without a word.
    """

    near: int
    far: int
    weather: dict[bytes, Weather] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)
    _random: random.Random = field(default_factory=random.Random)

    def of(self, address: str) -> Weather:
        """Returns the weather of an address, to be changed."""
        return self.weather.setdefault(socket.inet_aton(address), Weather())

    def forget(self) -> None:
        """The firewall restarts: it knows no connection any more."""
        self._known.clear()

    def carry(self) -> None:
        """Carries packets from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.near, self._from_near)
        loop.add_reader(self.far, self._from_far)

    def _from_near(self) -> None:
        with contextlib.suppress(BlockingIOError):
            packet = os.read(self.near, MOST_BYTES)
            if self._passes(packet, packet[16:20], packet[12:16], outward=True):
                self._write(self.far, packet)

    def _from_far(self) -> None:
        with contextlib.suppress(BlockingIOError):
            packet = os.read(self.far, MOST_BYTES)
            far = packet[12:16]
            if self._passes(packet, far, packet[16:20], outward=False):
                delay = self.weather[far].delay if far in self.weather else 0.0
                if delay:
                    asyncio.get_running_loop().call_later(delay, self._write, self.near, packet)
                else:
                    self._write(self.near, packet)

    def _passes(self, packet: bytes, far: bytes, near: bytes, *, outward: bool) -> bool:
        if packet[0] >> 4 != 4:
            return False  # the devices speak IPv6 among themselves
        weather = self.weather.get(far)
        if weather is not None and (weather.black or self._random.random() < weather.loss):
            return False
        if packet[9] != _TCP:
            return True
        start = (packet[0] & 15) * 4
        ports = packet[start : start + 4]
        flow = near + far + (ports if outward else ports[2:] + ports[:2])
        if outward and packet[start + 13] & (_SYN | _ACK) == _SYN:
            self._known.add(flow)
        return flow in self._known

    def _write(self, device: int, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # a full queue loses packets, as anywhere
            os.write(device, packet)
