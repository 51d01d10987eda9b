"""Nothing of a router reaches a zone that its policy forbids, as packet filter counters in a network namespace see it.

In a namespace of its own the four stub clouds have an address each, and every other address has a way out that counts. Plans are
drawn as in test_zone_property, with all helpers and changes of rules, but the policy's zones stay.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.router.test_zone_property import HOSTS, PLAN, outside, play

ALLOWED = {"policy": ["house", "eu"]}
FIXED: dict[str, Any] = {"zones": ["eu", "us", "world"]}  # of the second to the fourth host
PROGRAMS = ("iptables", "ip", "unshare")


def _run(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def fence() -> None:
    """Sets up the namespace: loopback, a way out to everywhere else that leads nowhere, and a rule that counts for each host."""
    _run("ip link set lo up")
    _run("ip route add default dev lo")
    for host in HOSTS:
        _run(f"iptables -w -A OUTPUT -d {host}")
    _run("iptables -w -A OUTPUT ! -d 127.0.0.0/8")


def counted() -> list[int]:
    """Returns the packets to each host, and at the end those to everywhere else."""
    listed = _run("iptables -w -nvxL OUTPUT").splitlines()[2:]
    return [int(line.split()[0]) for line in listed]


@settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(PLAN)
def everything(plan: dict[str, Any]) -> None:
    later = {**plan["later"], **ALLOWED} if plan["later"] is not None else None
    asyncio.run(play({**plan, **FIXED, "said": {**plan["said"], **ALLOWED}, "later": later}))


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)), reason="needs root, iproute2 and iptables"
)
def test_the_kernel_counts_no_packet_to_a_zone_that_is_not_allowed() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["unshare", "--net", sys.executable, "-m", __spec__.name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (list(map(int, line.split())) for line in done.stdout.splitlines()[-2:])
    house, europe, *forbidden = before
    assert house > 0 and europe > 0 and forbidden == [0, 0, 0], "packets to us, to world, to anywhere else"
    assert after[2] > 0, "the counter counts what is allowed to go there"


if __name__ == "__main__":
    fence()
    everything()
    print(*counted())
    asyncio.run(play(outside({}, more={"order": [2, 0, 1, 3]})))
    print(*counted())
