"""`genset operator` runs here as a process of its own: of this release, or of the last one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.integration.world import SETTINGS, World, operator_kubeconfig


class Process:
    """A process is one operator. `source`: the folder of another release's package."""

    def __init__(
        self,
        world: World,
        folder: Path,
        name: str,
        lease: str,
        *arguments: str,
        source: Path | None = None,
        image: str = SETTINGS.image,
        kubeconfig: Path | None = None,
    ) -> None:
        self.log = folder / f"{name}.log"
        self.name, self.lease = name, lease
        paths = sys.path if source is None else [str(source), *(path for path in sys.path if "/operator" not in path)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "genset", "operator",
                    "--kubeconfig", str(kubeconfig or operator_kubeconfig(world.plane)),
                    "--image", image,
                    "--operator-namespace", SETTINGS.operator_namespace,
                    "--lease-name", lease,
                    "--lease-seconds", "4",
                    "--identity", name,
                    "--health-listen", "127.0.0.1:0",
                    "--metrics-listen", "127.0.0.1:0",
                    "--log-format", "json",
                    *arguments,
                ],
                stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                cwd=folder,
            )  # fmt: skip

    def lines(self) -> list[str]:
        """Messages of its log so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line)["message"])
            except (ValueError, KeyError):
                found.append(line)
        return found

    def ports(self) -> list[int]:
        """Where it listens: health, then metrics."""
        return [int(line.rsplit(":", 1)[1]) for line in self.lines() if line.startswith("Listened on")]

    def end(self, number: int = signal.SIGKILL) -> float:
        """Sends a signal and waits; returns the seconds that it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began
