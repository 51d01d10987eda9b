"""A packet counter: what one TCP port of this machine is sent, as the kernel shows it to a packet socket.

It counts each byte of TCP's load once, however often it was sent, so that it can be compared with what programs say they
have sent. It needs root.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

_EVERYTHING = 0x0003  # ETH_P_ALL
_TO_US = 0  # PACKET_HOST
_IPV4, _TCP = 0x0800, 6
_SYN, _FIN = 2, 1

Flow = tuple[bytes, int]  # address and port of who sends


@dataclass
class PacketCounter:
    """Counts from `__enter__` to `__exit__`: connections, and bytes of their load, to `port`."""

    port: int
    _first: dict[Flow, int] = field(default_factory=dict)  # the first byte's number
    _last: dict[Flow, int] = field(default_factory=dict)  # bytes seen, counted from it
    _done: int = 0  # bytes of flows whose address and port were used again
    _connections: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> PacketCounter:
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        seen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        seen.settimeout(0.2)
        self._thread = threading.Thread(target=self._count, args=(seen,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def connections(self) -> int:
        return self._connections

    @property
    def load(self) -> int:
        """Returns the bytes that programs have sent, without headers."""
        return self._done + sum(self._last.values())

    def _count(self, seen: socket.socket) -> None:
        with contextlib.closing(seen):
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    packet, (_, protocol, kind, _, _) = seen.recvfrom(65535)
                    if protocol == _IPV4 and kind == _TO_US:
                        self._add(packet)

    def _add(self, packet: bytes) -> None:
        begin = (packet[0] & 15) * 4
        if packet[9] != _TCP or len(packet) < begin + 20:
            return
        source, target, number = struct.unpack_from("!HHI", packet, begin)
        if target != self.port:
            return
        flow, flags = (packet[12:16], source), packet[begin + 13]
        length = struct.unpack_from("!H", packet, 2)[0] - begin - (packet[begin + 12] >> 4) * 4
        if flags & _SYN:
            if self._first.get(flow) != (number + 1) & 0xFFFFFFFF:  # not the same one sent again
                self._done += self._last.get(flow, 0)
                self._first[flow], self._last[flow] = (number + 1) & 0xFFFFFFFF, 0
                self._connections += 1
        elif length and flow in self._first:
            end = ((number - self._first[flow]) & 0xFFFFFFFF) + length
            self._last[flow] = max(self._last[flow], end)
