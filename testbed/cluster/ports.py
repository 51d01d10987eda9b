"""Free TCP ports are for daemons that must be told theirs at their start, and keep it over a restart.

They are taken from below the kernel's range for outgoing connections and from below Kubernetes' node ports, so that no
passing connection sits on a port when its daemon comes back. A ledger keeps two clusters that start at once from
choosing the same one.
"""

from __future__ import annotations

import fcntl
import json
import random
import socket
import time
from pathlib import Path

from testbed.cluster.store import cache_root

RANGE = range(20000, 29999)
RESERVED_SECONDS = 120.0  # after which the daemon has bound its port, or its start was given up


def free_ports(
    count: int, address: str = "127.0.0.1", ledger: Path | None = None, seed: int | None = None
) -> list[int]:
    """Returns `count` different ports that nobody listens on now and that were given to nobody lately."""
    file = ledger or cache_root() / "ports.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    file.touch(exist_ok=True)
    with file.open("r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        now = time.time()  # shared between processes, so not a monotonic clock
        given = {int(port): until for port, until in _read(handle.read()).items() if until > now}
        chosen: list[int] = []
        for port in rng.sample(RANGE, len(RANGE)):
            if len(chosen) == count:
                break
            if port not in given and _is_free(address, port):
                chosen.append(port)
        if len(chosen) < count:
            raise RuntimeError(f"fewer than {count} ports of {RANGE.start}-{RANGE.stop} are free on {address}")
        given.update(dict.fromkeys(chosen, now + RESERVED_SECONDS))
        handle.seek(0)
        handle.truncate()
        json.dump(given, handle)
    return chosen


def _read(text: str) -> dict[str, float]:
    try:
        content = json.loads(text) if text else {}
    except ValueError:  # a writer was killed; the ports' own state still decides
        return {}
    return content if isinstance(content, dict) else {}


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
