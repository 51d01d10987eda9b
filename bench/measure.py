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
from bench.scenarios import SCENARIOS, Scenario

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Plan:
    """How long, and how often. Seconds. calm: longest wait for a calm machine before each window; patience: for answers
    that come after the window."""

    rounds: int = 3
    seconds: float = 3.0
    calm: float = 3.0
    patience: float = 8.0
    scenarios: tuple[str, ...] = tuple(SCENARIOS)

    @classmethod
    def quick(cls) -> Plan:
        """A look, not a result."""
        return cls(rounds=1, seconds=1.0, calm=0.0, patience=3.0)


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
    others: Mapping[int, float] = field(default_factory=dict)  # by core: what programs used that may run there
    own_lag: float | None = None  # ms, p99, of load generator and upstream themselves; None: not known
    begun_in: float = 0.0  # from the first dial until every stream had its first chunk, or the wait for it was over

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
            used={name: Used(u["cpu_seconds"], u["rss_bytes"]) for name, u in (raw["watched"] or {}).items()},
            busy={int(core): c["busy"] for core, c in (raw["cores"] or {}).items()},
            others={int(core): c["others"] for core, c in (raw["cores"] or {}).items()},
            own_lag=_own_lag(streams),
            begun_in=streams.get("begun_in", 0.0),
        )

    @property
    def failures(self) -> int:
        """Requests and streams that did not end as they should."""
        return sum(self.errors.values()) + self.short

    @property
    def hopeless(self) -> bool:
        """More than a twentieth failed: doing it again would only take time."""
        return self.failures > max(self.requests + self.failures, 1) / 20

    @classmethod
    def nothing(cls, mode: str, why: str) -> Run:
        """A window in which the load generator gave up."""
        return cls(mode, 1.0, 0, 0.0, {why: 1}, {}, 0, 0.0, 0, 0, {}, {})

    def share(self, *names: str) -> float:
        """CPU of these processes together, in cores."""
        return sum(self.used[name].cpu_seconds for name in names if name in self.used) / self.seconds


def _own_lag(streams: Mapping[str, Any]) -> float | None:
    """By how much the upstream sent late, and how long the generator did not look."""
    late, turn = streams.get("upstream_late_ms"), streams.get("turn_ms")
    return float(late["p99"] + turn["p99"]) if late and turn else None


@dataclass(frozen=True)
class Load:
    """The load generator on its core, and the upstream that it shares it with."""

    program: Path
    cores: Cores
    plan: Plan
    upstream_port: int
    upstream_pid: int

    def run(self, scenario: Scenario, port: int, peer_pid: int | None, headers: Mapping[str, str]) -> Run:
        """One window; what the generator said when it gave up counts as an error of the peer."""
        plan = self.plan
        command = [str(self.program), "run", scenario.mode, "--url", f"http://127.0.0.1:{port}{PATH}"]
        command += [*scenario.options(), "--model", UPSTREAM_MODEL]
        command += ["--duration", f"{plan.seconds}s", "--patience", f"{plan.patience}s"]
        command += [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
        command += ["--upstream", f"127.0.0.1:{self.upstream_port}"] if scenario.mode == "streams" else []
        command += ["--watch", f"upstream={self.upstream_pid}"]
        command += ["--watch", f"peer={peer_pid}"] if peer_pid else []
        wait_for_calm(self.cores, plan.calm)
        process = subprocess.Popen(
            pinned(command, self.cores.load), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        prioritise(process.pid, self.cores.nice)
        try:
            output, complaint = process.communicate(timeout=30 + 3 * plan.seconds + plan.patience)
        except subprocess.TimeoutExpired:
            return Run.nothing(scenario.mode, "the window did not end")
        finally:
            process.kill()
        if process.returncode:
            return Run.nothing(scenario.mode, complaint.decode().strip().splitlines()[0])
        return Run.parse(output.decode())


def answers(port: int, headers: Mapping[str, str]) -> str | None:
    """None when a completion through this port succeeds, else why not."""
    body = json.dumps({"model": UPSTREAM_MODEL, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{PATH}", body, {"content-type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()
    except (urllib.error.URLError, OSError) as problem:
        return str(problem)
    return None


def wait_until_answers(
    name: str, port: int, log: Path, alive: Callable[[], bool], headers: Mapping[str, str], within: float = 60.0
) -> None:
    """Waits for the first good completion. Seconds. ClickException with the peer's log when none comes."""
    deadline = time.monotonic() + within
    while (problem := answers(port, headers)) is not None:
        if not alive() or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise click.ClickException(f"{name} gave no answer on port {port} ({problem}); its log ends:\n{tail}")
        time.sleep(0.1)
