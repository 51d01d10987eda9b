"""A network of the benchmark's own: a new network namespace with nothing but a loopback.

The machine's loopback is everybody's: packet filters, address translation and connection tracking of a cluster that runs
beside look at every packet (a third more CPU per chunk where we looked), and some machines pace TCP by BBR, with a timer
per connection. In a new namespace there are no rules, congestion control is the kernel's plain one, and there are no tail
loss probes: where a round trip takes microseconds, every acknowledgement that waits for a read looks like a loss to them,
and senders repeat what has long arrived.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
#: Documentation/networking/ip-sysctl.rst
SETTINGS = {"tcp_congestion_control": "reno", "tcp_early_retrans": "0"}

log = logging.getLogger(__name__)


def isolate() -> bool:
    """Moves this process, and what it starts from now on, into a new network. False where the kernel does not allow it:
    then the machine's loopback serves, and results say so.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET if user == 0 else CLONE_NEWUSER | CLONE_NEWNET) != 0:
        log.warning("No network of its own (%s): packet filters take part", os.strerror(ctypes.get_errno()))
        return False
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
    for name, value in SETTINGS.items():
        setting = Path("/proc/sys/net/ipv4") / name
        try:
            setting.write_text(value)
        except OSError as problem:
            log.warning("%s stays %s (%s)", name, setting.read_text().strip(), problem)
    return True
