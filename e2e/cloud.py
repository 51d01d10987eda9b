"""The "cloud" of the demo and the tests: a second real llama-server, outside the cluster, behind TLS and an API key.

It stands in for a provider, which cannot be had here; everything else about it is real: another process, another
address, a certificate of its own CA, a key that is checked.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import trustme

from testbed.cluster.processes import Daemons
from testbed.cluster.steps import last_lines
from testbed.images import host_llama_server

DAEMON = "cloud"
MODEL = "frontier-count"  # the name that this provider knows the counting model by


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Cloud:
    """Starts, kills and restarts the server at one fixed address, with one fixed key."""

    daemons: Daemons
    folder: Path
    address: str
    weights: Path
    port: int = 0
    api_key: str = field(default_factory=lambda: "sk-" + secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.address)
        authority = trustme.CA(organization_name="genset demo cloud")
        certificate = authority.issue_cert(self.address, "localhost")
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(self.folder / "tls.key")
        self.certificate_file.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def certificate_file(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def base_url(self) -> str:
        return f"https://{self.address}:{self.port}/v1"

    def start(self, seconds: float = 60) -> None:
        """Starts the server and waits until it answers over TLS."""
        command = [
            *host_llama_server(), "-m", str(self.weights), "--alias", MODEL, "--host", self.address,
            "--port", str(self.port), "--api-key", self.api_key, "--ssl-key-file", str(self.folder / "tls.key"),
            "--ssl-cert-file", str(self.certificate_file), "-c", "32768", "-np", "16", "-t", "1", "-tb", "1",
            "--fit", "off", "--cache-ram", "0", "--threads-http", "64", "--offline",
        ]  # fmt: skip
        self.daemons.start(DAEMON, command)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        deadline = time.monotonic() + seconds
        with httpx.Client(verify=context, trust_env=False, timeout=2) as http:
            while time.monotonic() < deadline:
                self.daemons.check(DAEMON)
                try:
                    if http.get(f"https://{self.address}:{self.port}/health").status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                time.sleep(0.1)
        log = last_lines(self.daemons.log_file(DAEMON))
        raise RuntimeError(f"the cloud did not answer at {self.base_url} within {seconds:.0f} s:\n{log}")

    def rotate(self) -> None:
        """Takes another key from now on, and the old one no longer, as a provider does at whose console it was revoked."""
        self.kill()
        self.api_key = "sk-" + secrets.token_urlsafe(24)
        self.start()

    def kill(self) -> None:
        """SIGKILL: what a cut line looks like from the other end."""
        self.daemons.stop(DAEMON)
