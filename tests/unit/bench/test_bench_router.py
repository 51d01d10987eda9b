"""The benchmark of the router against real processes, as short as it can be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from bench.install import LOAD_SOURCE, ROOT, requirement
from bench.measure import Plan
from bench.peers import Place, peers
from bench.peers.genset import Genset
from bench.processes import Cores, running
from bench.router import choose, measure
from bench.summary import DIRECT
from genset.router.config import RouterConfig

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="the load generator is built with Go")


def test_peers_are_chosen_by_name() -> None:
    assert [peer.name for peer in choose("aiohttp, genset")] == ["aiohttp", "genset"]
    with pytest.raises(click.BadParameter, match="unknown peer nginx; known: genset"):
        choose("nginx")
    assert {name for name, peer in peers().items() if name != peer.name} == set()


def test_requirements_are_pinned() -> None:
    assert requirement("vllm-router").startswith("vllm-router==")
    assert requirement("uvloop").startswith("uvloop>")
    with pytest.raises(KeyError, match="not pinned"):
        requirement("left-pad")


def test_genset_is_started_with_a_configuration_that_it_takes(tmp_path: Path) -> None:
    command = Genset().command(Place(tmp_path, 1, 2, 3))
    folder = Path(command[command.index("--config-dir") + 1])
    RouterConfig.model_validate_json((folder / "router.json").read_text())


def test_processes_end_with_their_block_and_with_their_children(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    stubborn = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, os.sched_getaffinity(0), flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with running([sys.executable, "-c", stubborn], core, log) as process:
        while not log.read_text().endswith("\n"):
            assert process.poll() is None
    child, affinity = log.read_text().strip().split(" ", 1)
    assert affinity == f"{{{core}}}"
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5  # the signal is sent when the block ends; dying takes the kernel a moment
    while lives(int(child)):
        assert time.monotonic() < deadline, "the child outlived the block"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_go
def test_load_generator() -> None:
    done = subprocess.run(["go", "test", "./..."], cwd=LOAD_SOURCE, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    formatted = subprocess.run(["gofmt", "-l", "."], cwd=LOAD_SOURCE, capture_output=True, text=True, timeout=30)
    assert formatted.stdout == ""


@needs_go
def test_a_round() -> None:
    cores = Cores.choose(None, None)
    plan = Plan(rounds=1, seconds=0.5, streams=20, rate=100, patience=0.0)
    direct, genset = measure([Genset()], plan, cores)
    assert (direct.peer, genset.peer) == (DIRECT, "genset")
    for done in (direct, genset):
        for run in (done.saturate, done.rate, done.streams):
            assert run.failures == 0, f"{done.peer}, {run.mode}: {run.errors}"
        assert done.saturate.requests > 100
        assert done.streams.complete == 20
    assert genset.saturate.used["peer"].cpu_seconds > 0
    assert genset.idle_rss_bytes > 2**20


def test_folder_holds_the_page_that_results_go_to() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for section in ("router", "operator"):
        assert f"<!-- {section}: written by `make bench` -->" in page
        assert f"<!-- end of {section} -->" in page
