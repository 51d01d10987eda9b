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
from bench.interpreter import interpreter
from bench.measure import Plan
from bench.peers import Place, peers
from bench.peers.before import Before
from bench.peers.envoy import bootstrap
from bench.peers.genset import Genset
from bench.processes import Cores, running
from bench.router import choose, install, measure, measure_failover, scenarios
from bench.scenarios import CHUNKS, SCENARIOS, Scenario
from bench.summary import DIRECT
from genset.contracts.router_config import RouterConfig

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


def test_scenarios_are_chosen_by_name() -> None:
    assert scenarios("chunks, failover") == ["chunks", "failover"]
    with pytest.raises(click.BadParameter, match="unknown scenario few; known: whole"):
        scenarios("few")


def test_a_peer_that_cannot_be_had_is_reported() -> None:
    class Unavailable(Genset):
        name = "unavailable"

        def install(self) -> None:
            raise click.ClickException("pip install … failed with 1:\nNo matching distribution")

    installed, missing = install([Genset(), Unavailable()])
    assert [peer.name for peer in installed] == ["genset"]
    assert missing == {"unavailable": "No matching distribution"}


def test_envoy_is_not_held_back(tmp_path: Path) -> None:
    cluster = bootstrap(Place(tmp_path, 1, 2, 3))["static_resources"]["clusters"][0]
    limits = cluster["circuit_breakers"]["thresholds"][0]
    assert all(limit > max(scenario.streams for scenario in SCENARIOS.values()) for limit in limits.values())


def test_failover_is_fast_and_loses_nothing() -> None:
    found = measure_failover(Cores.choose(None, None), quick=True)
    for case in found.cases:
        assert case.lost == 0, f"{case.about}: {case.lost} of {case.samples} answers were lost"
        assert 0 < case.p50 < 200


@needs_go
def test_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Scenario(CHUNKS, "streams", "", streams=20, chunk_rate=100, fresh=True)
    monkeypatch.setitem(SCENARIOS, CHUNKS, few)
    cores = Cores.choose(None, None)
    plan = Plan(rounds=1, seconds=0.5, calm=0.0, scenarios=("whole", "short", "untouched", "rate", CHUNKS))
    (direct, genset), broken = measure([Genset()], plan, cores)
    assert (direct.peer, genset.peer, broken) == (DIRECT, "genset", {})
    for done in (direct, genset):
        for name, run in done.runs.items():
            assert run.failures == 0, f"{done.peer}, {name}: {run.errors}"
        assert done.runs["whole"].requests > 100
        assert done.runs[CHUNKS].complete == 20
    assert genset.runs["whole"].used["peer"].cpu_seconds > 0
    assert genset.idle_rss_bytes > 2**20


@needs_go
def test_a_peer_that_does_not_start_is_reported() -> None:
    class Ends(Genset):
        name = "ends"

        def command(self, place: Place, content: RouterConfig | None = None) -> list[str]:
            return [sys.executable, "-c", "print('no licence')"]

    plan = Plan(rounds=1, seconds=0.5, calm=0.0, scenarios=("rate",))
    done, broken = measure([Ends()], plan, Cores.choose(None, None))
    assert [one.peer for one in done] == [DIRECT]
    assert "ends gave no answer" in broken["ends"]


def test_folder_holds_the_page_that_results_go_to() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for section in ("router", "operator"):
        assert f"<!-- {section}: written by `make bench` -->" in page
        assert f"<!-- end of {section} -->" in page


def test_the_router_of_another_commit_is_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENSET_BENCH_WITHOUT_IMAGE", "1")
    interpreter.cache_clear()
    try:
        before = Before("HEAD")
        before.install()
        source = Path(before.environment()["PYTHONPATH"]).parent
        assert source != ROOT and (source / "operator/genset/router/process/server.py").is_file()
        assert before.about.endswith(before.version())
    finally:
        interpreter.cache_clear()
    with pytest.raises(click.BadParameter, match="no such commit"):
        Before("nobody/knows/it")
