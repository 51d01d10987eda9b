"""Daemons that are ended exactly, with real processes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster.api import wait_for
from testbed.cluster.ports import free_ports
from testbed.cluster.processes import DaemonDied, Daemons, is_running, marked_processes
from testbed.cluster.steps import StepFailed, run_step


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    made = Daemons(tmp_path)
    yield made
    made.stop_all()


def started(daemons: Daemons, name: str) -> int:
    wait_for(f"{name} runs", lambda: daemons.pid(name) is not None, 10)
    pid = daemons.pid(name)
    assert pid is not None
    return pid


def test_a_daemon_outlives_the_object_that_started_it_and_is_found_again(daemons: Daemons, tmp_path: Path) -> None:
    daemons.start("sleeper", ["sleep", "60"])
    pid = started(daemons, "sleeper")
    again = Daemons(tmp_path)
    assert (again.names(), again.pid("sleeper")) == (["sleeper"], pid)
    again.stop("sleeper")
    assert not is_running(pid)
    assert again.names() == []


def test_a_pid_file_that_names_somebody_elses_process_harms_nobody(daemons: Daemons, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "etcd.pid").write_text(str(stranger.pid))
        assert daemons.pid("etcd") is None
        daemons.stop("etcd")
        daemons.stop_all()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_daemon_without_a_pid_file_is_ended_too(daemons: Daemons, tmp_path: Path) -> None:
    daemons.start("sleeper", ["sleep", "60"])
    pid = started(daemons, "sleeper")
    (tmp_path / "run" / "sleeper.pid").unlink()
    assert marked_processes(tmp_path) == [pid]
    Daemons(tmp_path).stop_all()
    assert not is_running(pid)


def test_what_a_daemon_started_ends_with_it(daemons: Daemons, tmp_path: Path) -> None:
    daemons.start("parent", ["sh", "-c", "sleep 60 & sleep 60"])
    wait_for("parent and children run", lambda: len(marked_processes(tmp_path)) == 3, 10)
    daemons.stop_all()
    assert marked_processes(tmp_path) == []


def test_another_folders_daemons_go_on(daemons: Daemons, tmp_path: Path) -> None:
    other = Daemons(tmp_path / "other")
    other.start("sleeper", ["sleep", "60"])
    try:
        pid = started(other, "sleeper")
        daemons.stop_all()
        assert is_running(pid)
    finally:
        other.stop_all()


def test_a_daemon_that_died_is_reported_with_the_end_of_its_log(daemons: Daemons) -> None:
    daemons.start("etcd", ["sh", "-c", "echo listen tcp: address already in use; exit 1"])

    def died() -> bool:
        try:
            daemons.check("etcd")
        except DaemonDied as error:
            return "address already in use" in str(error) and "etcd.log" in str(error)
        return False

    wait_for("etcd's death is noticed", died, 10)


def test_a_polite_end_comes_before_a_rude_one(daemons: Daemons, tmp_path: Path) -> None:
    script = "trap 'echo asked > asked; exit' TERM; touch ready; while :; do sleep 0.05; done"
    daemons.start("polite", ["sh", "-c", script])
    wait_for("the trap is set", (tmp_path / "ready").exists, 10)
    daemons.stop("polite", grace_seconds=10)
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_ports_given_at_once_are_all_different(tmp_path: Path) -> None:
    given: list[int] = []

    def take() -> None:
        given.extend(free_ports(5, ledger=tmp_path / "ports.json"))

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert len(given) == 40
    assert len(set(given)) == 40


def test_a_broken_ledger_of_ports_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"200')
    assert len(free_ports(2, ledger=tmp_path / "ports.json")) == 2


def test_a_failed_step_shows_the_end_of_its_output_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "log" / "step.log"
    with pytest.raises(StepFailed) as caught:
        run_step("Building x", ["sh", "-c", "echo first; echo undefined: foo >&2; exit 3"], log)
    message = str(caught.value)
    assert "Building x failed with status 3" in message
    assert "undefined: foo" in message
    assert str(log) in message


def test_a_step_whose_program_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"no-such-program is not installed; python -m testbed\.cluster tools"):
        run_step("Building x", ["no-such-program"], tmp_path / "log")


def test_a_step_gets_its_input_and_environment(tmp_path: Path) -> None:
    seconds = run_step(
        "Copy", ["sh", "-c", 'cat; echo "$ADDED"'], tmp_path / "log", stdin=b"in\n", env={"ADDED": "env"}
    )
    assert (tmp_path / "log").read_text().splitlines()[-2:] == ["in", "env"]
    assert 0 < seconds < 10
