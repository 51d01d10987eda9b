"""One measurement: `load run` against one address, as typed values."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bench.peers import UPSTREAM_MODEL
from bench.processes import Cores, pinned, prioritise, wait_for_calm

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Plan:
    """How long, and how much. Seconds; counts; per second. patience: longest wait for a calm machine, per window."""

    rounds: int = 5
    seconds: float = 5.0
    connections: int = 32
    rate: int = 500
    streams: int = 300
    chunk_rate: int = 100
    patience: float = 5.0

    @classmethod
    def quick(cls) -> Plan:
        """A look, not a result."""
        return cls(rounds=1, seconds=2.0, patience=0.0)


@dataclass(frozen=True)
class Used:
    """What a process and its children used in the window: CPU seconds; resident bytes at its end."""

    cpu_seconds: float
    rss_bytes: int


@dataclass(frozen=True)
class Run:
    """What `load run` printed. Milliseconds; per second; shares from 0 to 1."""

    mode: str
    seconds: float
    requests: int
    per_second: float
    errors: Mapping[str, int]
    latency: Mapping[str, float]
    chunks: int
    chunks_per_second: float
    complete: int
    short: int
    lag: Mapping[str, float]
    used: Mapping[str, Used]
    busy: Mapping[int, float] = field(default_factory=dict)  # by core

    @classmethod
    def parse(cls, text: str) -> Run:
        """From the JSON line."""
        raw: dict[str, Any] = json.loads(text)
        streams = raw.get("streams") or {}
        return cls(
            mode=raw["mode"],
            seconds=raw["seconds"],
            requests=raw["requests"],
            per_second=raw["per_second"],
            errors=raw["errors"],
            latency=raw.get("latency_ms") or {},
            chunks=streams.get("chunks", 0),
            chunks_per_second=streams.get("per_second", 0.0),
            complete=streams.get("complete", 0),
            short=streams.get("short", 0),
            lag=streams.get("lag_ms") or {},
            used={name: Used(u["cpu_seconds"], u["rss_bytes"]) for name, u in raw["watched"].items()},
            busy={int(core): c["busy"] for core, c in raw["cores"].items()},
        )

    @property
    def failures(self) -> int:
        """Requests and streams that did not end as they should."""
        return sum(self.errors.values()) + self.short

    def share(self, *names: str) -> float:
        """CPU of these processes together, in cores."""
        return sum(self.used[name].cpu_seconds for name in names if name in self.used) / self.seconds


@dataclass(frozen=True)
class Load:
    """The load generator on its core."""

    program: Path
    cores: Cores
    plan: Plan
    upstream_pid: int

    def run(self, mode: str, port: int, peer_pid: int | None, *options: str) -> Run:
        """One window. ClickException with the generator's own words when it gave up."""
        command = [str(self.program), "run", mode, "--url", f"http://127.0.0.1:{port}{PATH}", *options]
        command += ["--model", UPSTREAM_MODEL, "--duration", f"{self.plan.seconds}s"]
        command += ["--watch", f"upstream={self.upstream_pid}"]
        command += ["--watch", f"peer={peer_pid}"] if peer_pid else []
        wait_for_calm(self.cores, self.plan.patience)
        process = subprocess.Popen(
            pinned(command, self.cores.load), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        prioritise(process.pid, self.cores.nice)
        try:
            output, complaint = process.communicate(timeout=60 + 3 * self.plan.seconds)
        finally:
            process.kill()
        if process.returncode:
            raise click.ClickException(f"load run {mode}: {complaint.decode().strip()}")
        return Run.parse(output.decode())

    def saturate(self, port: int, peer_pid: int | None) -> Run:
        """Every connection always has a request on its way."""
        return self.run("saturate", port, peer_pid, "--connections", str(self.plan.connections))

    def rate(self, port: int, peer_pid: int | None) -> Run:
        """A fixed number of requests per second; latency from when each was due."""
        return self.run("rate", port, peer_pid, "--rate", str(self.plan.rate))

    def streams(self, port: int, peer_pid: int | None) -> Run:
        """Streams at a fixed pace."""
        plan = self.plan
        return self.run("streams", port, peer_pid, "--streams", str(plan.streams), "--chunk-rate", str(plan.chunk_rate))


def answers(port: int) -> str | None:
    """None when a completion through this port succeeds, else why not."""
    body = json.dumps({"model": UPSTREAM_MODEL, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()
    except (urllib.error.URLError, OSError) as problem:
        return str(problem)
    return None


def wait_until_answers(name: str, port: int, log: Path, alive: Callable[[], bool], within: float = 60.0) -> None:
    """Waits for the first good completion. Seconds. ClickException with the peer's log when none comes."""
    deadline = time.monotonic() + within
    while (problem := answers(port)) is not None:
        if not alive() or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise click.ClickException(f"{name} gave no answer on port {port} ({problem}); its log ends:\n{tail}")
        time.sleep(0.1)
