"""A site's own web server for model files: what the http source downloads from, in the demo and the scenarios.

A process of its own, so that the demo's pods can still fetch when the demo's own process has ended.
"""

from __future__ import annotations

import functools
import hashlib
import socket
import sys
import time
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from testbed.cluster.processes import Daemons
from testbed.cluster.steps import last_lines
from testbed.house import ROOT

DAEMON = "weights-server"


@dataclass(frozen=True)
class WeightsServer:
    """Serves one folder at one address until it is closed."""

    daemons: Daemons
    folder: Path
    address: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def start(self, seconds: float = 15) -> None:
        command = [sys.executable, "-m", "e2e.weights_server", str(self.folder), self.address, str(self.port)]
        self.daemons.start(DAEMON, command, {"PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        log = self.daemons.log_file(DAEMON)
        raise RuntimeError(f"the weights server did not open {self.url} within {seconds:.0f} s:\n{last_lines(log)}")

    def close(self) -> None:
        self.daemons.stop(DAEMON)

    def source(self, file: str, sha256: str = "") -> dict[str, dict[str, str]]:
        """The `source` of a ModelDeployment for one of its files; `sha256` other than the file's own is a wrong one."""
        digest = sha256 or hashlib.sha256((self.folder / file).read_bytes()).hexdigest()
        return {"http": {"url": f"{self.url}/{file}", "sha256": digest}}


def serve(folder: str, address: str, port: str) -> None:
    """The daemon's own main function."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    ThreadingHTTPServer((address, int(port)), handler).serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
