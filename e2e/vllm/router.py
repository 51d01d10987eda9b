"""A router as a process of its own, from resource files: `genset router -f`, as on a laptop."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from e2e.cloud import free_port
from e2e.vllm.engines import ADDRESS
from testbed.cluster.processes import Daemons
from testbed.cluster.steps import last_lines
from testbed.house import ROOT

DAEMON = "router"


@dataclass
class RouterProcess:
    """Serves `resources`; `endpoints` says where their ModelDeployments answer."""

    daemons: Daemons
    folder: Path
    resources: list[dict[str, Any]]
    port: int = 0
    admin: int = 0

    def start(self, endpoints: Mapping[str, str] | None = None, seconds: float = 20) -> None:
        self.port, self.admin = free_port(ADDRESS), free_port(ADDRESS)
        file = self.folder / "policy.yaml"
        file.write_text(yaml.safe_dump_all(self.resources))
        command = [sys.executable, "-m", "genset", "router", "-f", str(file)]
        command += ["--listen", f"{ADDRESS}:{self.port}", "--admin", f"{ADDRESS}:{self.admin}"]
        for name, url in (endpoints or {}).items():
            command += ["--endpoint", f"{name}={url}"]
        self.daemons.start(DAEMON, command, {"PYTHONPATH": f"{ROOT / 'operator'}"})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.daemons.check(DAEMON)
            try:
                if self._admin("/-/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        log = last_lines(self.daemons.log_file(DAEMON))
        raise RuntimeError(f"the router was not ready within {seconds:.0f} s:\n{log}")

    @property
    def url(self) -> str:
        """Up to and with /v1."""
        return f"http://{ADDRESS}:{self.port}/v1"

    def continued(self) -> int:
        """Broken streams that it completed elsewhere."""
        text = self._admin("/metrics").text
        found = re.findall(r'^genset_router_continuations_total\{[^}]*outcome="completed"[^}]*\} (\S+)$', text, re.M)
        return int(sum(float(value) for value in found))

    def _admin(self, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=5) as http:
            return http.get(f"http://{ADDRESS}:{self.admin}{path}")
