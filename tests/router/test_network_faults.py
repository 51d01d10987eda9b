"""Real packets meet real faults: behind a wire that loses, delays and forgets, no request is lost, and none is lied to.

It is the benchmark of continuity in short (docs/continuity.md): in a network namespace, genset alone, with deadlines of 2 s.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.install import ROOT
from bench.interpreter import WITHOUT_IMAGE

PROGRAMS = ("ip", "mount", "setpriv", "taskset")


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/net/tun").exists() or not all(map(shutil.which, PROGRAMS)),
    reason="needs root, iproute2 and /dev/net/tun",
)
@pytest.mark.parametrize(
    ("first", "faults"),
    [
        ("cloud", ["blackhole", "loss", "tls-intercepted", "half-open"]),
        ("house", ["blackhole", "latency", "dns-dead", "half-open"]),
    ],
)
def test_what_the_network_does_to_the_first_choice_costs_no_answer(first: str, faults: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), WITHOUT_IMAGE: "1"}
    options = ["--quick", "--strict", "--runs", "1", "--first", first, "--faults", ",".join(faults)]
    command = [sys.executable, "-m", "bench", "continuity", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{len(faults)}/{len(faults)}]" in done.stderr, "each of them was tried"
