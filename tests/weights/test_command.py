"""`genset weights` as the container runs it: a process of its own, its exit code, its last words, its progress."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from genset.contracts.puller import PROGRESS_PATH, CheckSpec, FetchSpec
from genset.weights.page import PageServer
from genset.weights.progress import ProgressLog
from tests.support.weights.fakes import FakeHub, FakeOrigin, Fault, tiny_gguf
from tests.support.weights.running import hub_spec, model_bytes, servable, web_spec

MODEL = tiny_gguf(4_000_000)


def start(args: list[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "genset", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
    )  # fmt: skip


def finish(args: list[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    process = start(args, env)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def partial_size(into: Path) -> int:
    return sum(path.stat().st_size for path in into.rglob("*.partial"))


def test_success_prints_the_path_and_leaves_the_size_as_last_words(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v", termination_log=str(tmp_path / "log"))
    done = finish(spec.to_args())
    assert (done.returncode, done.stdout) == (0, spec.model_path + "\n")
    assert model_bytes(spec) == MODEL
    words = json.loads((tmp_path / "log").read_text())
    assert (words["reason"], words["message"], words["totalBytes"]) == ("WeightsReady", "", len(MODEL))
    assert "Started the download of " in done.stderr
    assert f"at {spec.model_path}" in done.stderr


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [(404, 3, "SourceNotFound"), (401, 3, "SourceUnauthorized"), (503, 1, "SourceUnreachable")],
)
def test_failure_leaves_the_reason_and_the_remedy(
    origin: FakeOrigin, tmp_path: Path, status: int, code: int, reason: str
) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=status)] * 100
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v", termination_log=str(tmp_path / "log"))
    done = finish([*spec.to_args(), "--patience", "0.1"])
    assert done.returncode == code
    said = json.loads((tmp_path / "log").read_text())
    assert said["reason"] == reason
    assert f"answered {status}" in said["message"]
    assert f"{reason}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reused_model_is_told_in_the_last_words(hub: FakeHub, tmp_path: Path) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = FetchSpec(hub_spec(hub, tmp_path).source, into=str(tmp_path / "v"), termination_log=str(tmp_path / "log"))
    assert finish(spec.to_args()).returncode == 0
    hub.token = "changed"
    assert finish(spec.to_args()).returncode == 0
    said = json.loads((tmp_path / "log").read_text())
    assert said["reason"] == "WeightsReady"
    assert "Serves the model of an earlier download" in said["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["weights", "fetch"],
        ["weights", "fetch", "--repo", "a/b", "--url", "http://x", "--sha256", "0"],
        ["weights", "fetch", "--url", "http://x"],
        ["weights", "check"],
    ],
)
def test_wrong_arguments_end_with_2(args: list[str]) -> None:
    done = finish(args)
    assert done.returncode == 2
    assert "Usage: " in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_goes_on_in_the_next_run(origin: FakeOrigin, tmp_path: Path, how: signal.Signals) -> None:
    origin.put("/m.gguf", MODEL)
    origin.pace = 0.01
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    process = start(spec.to_args())
    wait_for(lambda: partial_size(tmp_path) > 500_000, "the first bytes")
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == (-9 if how == signal.SIGKILL else 143)
    assert servable(tmp_path) == []
    kept = partial_size(tmp_path)
    origin.pace = 0
    assert finish(spec.to_args()).returncode == 0
    assert model_bytes(spec) == MODEL
    assert origin.asked[-1].headers["range"] == f"bytes={kept}-"
    assert origin.asked[-1].sent == len(MODEL) - kept


def test_progress_is_served_while_the_download_runs(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    origin.pace = 0.02
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path, listen=f"127.0.0.1:{port}")
    process = start(spec.to_args())
    seen: list[dict[str, object]] = []

    def half_way() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/progress", timeout=5) as response:
                seen.append(json.load(response))
        except OSError:
            return False
        return int(str(seen[-1]["bytes"])) > 1_000_000

    wait_for(half_way, "half the download")
    origin.pace = 0
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert seen[-1] | {"bytes": 0} == {
        "state": "downloading", "bytes": 0, "totalBytes": len(MODEL), "revision": "", "file": "m.gguf",
        "reason": "", "message": "",
    }  # fmt: skip


def test_a_taken_port_does_not_stop_the_download(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path, listen=origin.url.removeprefix("http://"))
    done = finish(spec.to_args())
    assert done.returncode == 0
    assert "Failed to serve progress at" in done.stderr


def test_two_processes_on_one_volume_download_once(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    origin.pace = 0.005
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    processes = [start(spec.to_args()) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert origin.sent == len(MODEL)


def test_who_waits_takes_over_from_a_killed_puller(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    origin.pace = 0.01
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    first = start(spec.to_args())
    wait_for(lambda: partial_size(tmp_path) > 300_000, "the first bytes")
    origin.pace = 1.0  # however long the second takes to start
    second = start(spec.to_args())
    assert second.stderr is not None
    assert any("Waited for " in line for line in second.stderr), "the second does not wait"
    first.kill()
    first.communicate()
    origin.pace = 0
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert model_bytes(spec) == MODEL


@pytest.mark.parametrize(
    "no_proxy", ["127.0.0.1", "*", "10.0.0.0/8,fd00::/8,.svc,.cluster.local,127.0.0.1", "127.0.0.0/8"]
)
def test_a_proxy_is_used_and_no_proxy_is_not(origin: FakeOrigin, tmp_path: Path, no_proxy: str) -> None:
    """The origin plays the proxy: a proxy gets the whole URL in the request line."""
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    args = [arg.replace(origin.url, "http://weights.invalid") for arg in spec.to_args()]
    done = finish(args, {"HTTP_PROXY": origin.url})
    assert done.returncode == 0, done.stderr
    assert origin.asked[0].path == "http://weights.invalid/m.gguf"
    bypassed = web_spec(origin, "/m.gguf", MODEL, tmp_path / "other")
    assert finish(bypassed.to_args(), {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": no_proxy}).returncode == 0


def test_the_hub_is_asked_through_the_proxy_too(hub: FakeHub, tmp_path: Path) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    args = [arg.replace(hub.url, "http://hub.invalid") for arg in spec.to_args()]
    done = finish(args, {"http_proxy": hub.url.removeprefix("http://"), "NO_PROXY": "fd00::/8,10.0.0.0/8"})
    assert done.returncode == 0, done.stderr
    assert {asked.path.split("org")[0] for asked in hub.asked} == {
        "http://hub.invalid/api/models/",
        "http://hub.invalid/",
    }


def test_a_quick_start_when_everything_is_there(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    assert finish(spec.to_args()).returncode == 0
    origin.close()
    began = time.monotonic()
    assert finish(spec.to_args()).returncode == 0
    assert time.monotonic() - began < 10, "mostly the interpreter's own start"


@pytest.mark.parametrize(
    ("content", "name", "code", "words"),
    [
        (MODEL, "m.gguf", 0, ""),
        (None, "m.gguf", 3, "m.gguf does not exist; "),
        (b"", "m.gguf", 3, "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "m.gguf", 3, "Git LFS pointer"),
        (MODEL[:60], "m.gguf", 3, "ends inside its header"),
        (tiny_gguf(100, split=(2, 3)), "m.gguf", 3, "is file 2 of a model split into 3; name the first one"),
        (tiny_gguf(100, split=(1, 3)), "m.gguf", 3, "NAME-00001-of-00003.gguf"),
        (tiny_gguf(100, split=(1, 3)), "m-00001-of-00003.gguf", 3, "m-00002-of-00003.gguf does not exist"),
    ],
)
def test_check_looks_at_a_file_in_place(
    tmp_path: Path, content: bytes | None, name: str, code: int, words: str
) -> None:
    folder = tmp_path / "claim"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    if content is not None:
        (folder / name).write_bytes(content)
    log = tmp_path / "log"
    done = finish(CheckSpec(str(folder / name), str(log)).to_args())
    assert done.returncode == code, done.stderr
    if code:
        assert words in json.loads(log.read_text())["message"]
    else:
        assert done.stdout == f"{folder / name}\n"
        assert not log.exists()


def test_check_accepts_a_whole_split_model(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-{number:05d}-of-00002.gguf").write_bytes(tiny_gguf(100, split=(number, 2)))
    assert finish(["weights", "check", str(tmp_path / "m-00001-of-00002.gguf")]).returncode == 0


def test_check_notices_a_copy_that_was_cut_off(tmp_path: Path) -> None:
    """Two tensors: the second begins after the end of the file."""
    import gguf
    import numpy

    whole = tmp_path / "whole.gguf"
    writer = gguf.GGUFWriter(str(whole), "llama")
    for name in ("first", "second"):
        writer.add_tensor(name, numpy.zeros(10_000, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert finish(["weights", "check", str(whole)]).returncode == 0
    with whole.open("r+b") as stream:
        stream.truncate(whole.stat().st_size // 3)
    done = finish(["weights", "check", str(whole)])
    assert done.returncode == 3
    assert "is cut off" in done.stderr


def test_check_names_what_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "real.gguf").write_bytes(MODEL)
    done = finish(["weights", "check", str(tmp_path / "typo.gguf")])
    assert f"{tmp_path} has: real.gguf" in done.stderr
    done = finish(["weights", "check", str(tmp_path)])
    assert "is a folder; name the file;" in done.stderr


def test_a_slow_or_silent_reader_of_progress_blocks_nobody(progress: ProgressLog) -> None:
    server = PageServer("127.0.0.1:0", PROGRESS_PATH, lambda: progress.snapshot().to_json())
    try:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/-/progress", timeout=20) as response:
            assert json.load(response)["state"] == "downloading"
        assert time.monotonic() - began < 15
        for connection in silent:
            connection.close()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/etc/passwd", timeout=20)
    finally:
        server.close()
