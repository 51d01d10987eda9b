"""A real llama-server that loads a generated model, and what it says and takes then."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed.cluster.ports import free_ports
from testbed.cluster.store import cache_root
from testbed.images import host_llama_server

MIB = 2**20
START_SECONDS = 240.0


def is_there() -> bool:
    """Says whether the image with llama-server has been built: `make images`, or any end-to-end test."""
    return any((cache_root() / "images").glob("llama.cpp-*/rootfs/usr/bin/llama-server"))


@dataclass
class Server:
    """A server that runs: its log so far, and what its process holds."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def buffers(self, word: str) -> list[str]:
        """Returns the sizes of the buffers of one kind in MiB as they are logged, without empty ones."""
        found = re.findall(rf"{word} buffer size = +([\d.]+) MiB", self.log)
        return sorted(size for size in found if float(size))

    @property
    def resident(self) -> int:
        """Returns the bytes of memory that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def prompt(self, tokens: int) -> None:
        """Has it read a prompt of at least so many tokens and answer with one."""
        body = json.dumps({"prompt": "x" * tokens, "n_predict": 1, "cache_prompt": False}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/completion", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=START_SECONDS).read()


@contextmanager
def running(model: Path, folder: Path, arguments: Sequence[str]) -> Iterator[Server]:
    """Runs llama-server with a model until it is ready.

    Weights are read into the memory of the process (`--load-mode none`): the kernel may drop mapped pages, and a measurement
    would miss them. They stay as the file has them (`--no-repack`): cores with AMX would get a copy in an order of their own,
    and build 11669 aborts with latent attention there.
    """
    port = free_ports(1)[0]
    log = folder / "llama-server.log"
    command = [
        *host_llama_server(), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-t", "1", "-tb", "1",
        "--fit", "off", "--cache-ram", "0", "--offline", "--threads-http", "4", "-lv", "4", "--no-warmup", "--no-repack",
        "--load-mode", "none", *arguments,
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    server = Server(process, port, log)
    try:
        _wait(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: Server) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise AssertionError(f"llama-server ended with {server.process.returncode}:\n{server.log[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=2):
                if "model loaded" in server.log:  # it is written by a thread of its own
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"llama-server was not ready in time:\n{server.log[-2000:]}")


def shown(*sizes: int) -> list[str]:
    """Writes sizes as llama-server logs them, without empty ones."""
    return sorted(f"{size / MIB:.2f}" for size in sizes if f"{size / MIB:.2f}" != "0.00")


@dataclass(frozen=True)
class Options:
    """How the server is started."""

    tokens: int
    slots: int
    extra: tuple[str, ...] = ()
    use: dict[str, object] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        return ["-c", str(self.tokens * self.slots), "-np", str(self.slots), *self.extra]
