"""Adapters of a running server follow a list. FakeVllm keeps what vLLM 0.32 does on three paths; e2e/vllm asks the real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from genset.contracts import adapter_list
from genset.weights.joined import AGAIN_SECONDS, FIRST_SECONDS, WHOLE, Joined
from testbed.cluster.ports import free_ports


class FakeVllm:
    """FakeVllm loads adapters by name, twice none, and only from folders that are there. `refuses` are names that it does not."""

    def __init__(self) -> None:
        self.up = True
        self.loaded: dict[str, str] = {}
        self.refuses: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("refused")
        if request.url.path == "/v1/models":
            told: list[dict[str, Any]] = [{"id": "base", "root": "/models/base", "parent": None}]
            told += [{"id": name, "root": path, "parent": "base"} for name, path in self.loaded.items()]
            return httpx.Response(200, json={"object": "list", "data": told})
        body = json.loads(request.content)
        name = body["lora_name"]
        self.asked.append(f"{request.url.path.rpartition('/')[2]} {name}")
        if request.url.path == "/v1/unload_lora_adapter":
            found = self.loaded.pop(name, None)
            return httpx.Response(200 if found else 404, text="done")
        if name in self.refuses or name in self.loaded:
            return httpx.Response(400, json={"error": {"message": f"{name} is no good", "code": 400}})
        self.loaded[name] = body["lora_path"]
        return httpx.Response(200, text=f"Success: LoRA adapter '{name}' added successfully.")


@pytest.fixture
def server() -> FakeVllm:
    return FakeVllm()


class Pod:
    """A pod has a list, folders of adapters, a server, and a clock that a test moves."""

    def __init__(self, folder: Path, server: FakeVllm, fixed: frozenset[str] = frozenset()) -> None:
        self.folder = folder
        self.now = 0.0
        http = httpx.Client(base_url="http://server", transport=httpx.MockTransport(server))
        self.joined = Joined(folder / adapter_list.FILE, http, fixed, clock=lambda: self.now)

    def adapter(self, name: str, version: str = "1") -> str:
        path = self.folder / version / name
        path.mkdir(parents=True)
        (path / WHOLE).write_text("{}")
        return str(path)

    def lists(self, **adapters: str) -> None:
        (self.folder / adapter_list.FILE).write_text(adapter_list.written(adapters))
        self.joined.step()


@pytest.fixture
def pod(tmp_path: Path, server: FakeVllm) -> Iterator[Pod]:
    yield Pod(tmp_path, server)


def test_adapters_come_and_go_with_the_list(pod: Pod, server: FakeVllm) -> None:
    one, two = pod.adapter("one"), pod.adapter("two")
    pod.lists(one=one, two=two)
    assert server.loaded == {"one": one, "two": two} and pod.joined.ready
    pod.lists(two=two)
    assert server.loaded == {"two": two}
    pod.lists()
    assert server.loaded == {}
    asked = len(server.asked)
    pod.joined.step()
    assert len(server.asked) == asked, "asked for something at rest"


def test_another_version_takes_the_place_of_the_first(pod: Pod, server: FakeVllm) -> None:
    pod.lists(one=pod.adapter("one"))
    second = pod.adapter("one", "2")
    pod.lists(one=second)
    assert server.loaded == {"one": second}


def test_what_the_server_was_started_with_stays(tmp_path: Path, server: FakeVllm) -> None:
    server.loaded = {"fixed": "/companions/fixed", "left": "/old"}
    Pod(tmp_path, server, frozenset({"fixed"})).lists()
    assert server.loaded == {"fixed": "/companions/fixed"}


def test_a_server_that_starts_anew_gets_all_of_them_again(pod: Pod, server: FakeVllm) -> None:
    one = pod.adapter("one")
    pod.lists(one=one)
    server.up = False
    pod.joined.step()
    server.up, server.loaded = True, {}
    pod.joined.step()
    assert server.loaded == {"one": one}


def test_one_that_is_refused_keeps_nobody_waiting(pod: Pod, server: FakeVllm) -> None:
    server.refuses = {"bad"}
    bad, good = pod.adapter("bad"), pod.adapter("good")
    pod.lists(bad=bad, good=good)
    assert server.loaded == {"good": good} and pod.joined.ready
    assert pod.joined.failures["bad"].message == "the server answered 400: bad is no good"
    mark = adapter_list.mark({"bad": bad, "good": good})
    refused = {"bad": "the server answered 400: bad is no good"}
    assert pod.joined.report() == adapter_list.AdapterReport(mark, refused)
    pod.joined.step()
    assert server.asked.count("load_lora_adapter bad") == 1, "asked again at once"
    server.refuses, pod.now = set(), AGAIN_SECONDS
    pod.joined.step()
    assert "bad" in server.loaded and not pod.joined.failures
    assert pod.joined.report() == adapter_list.AdapterReport(mark)


def test_the_pod_waits_for_what_is_still_being_fetched(pod: Pod, server: FakeVllm) -> None:
    path = pod.folder / "1" / "late"
    pod.lists(late=str(path))
    assert not pod.joined.ready and not server.asked
    assert pod.joined.report() == adapter_list.AdapterReport(adapter_list.mark({"late": str(path)}), waiting=1)
    pod.adapter("late")
    pod.joined.step()
    assert pod.joined.ready and server.loaded == {"late": str(path)}


def test_the_pod_does_not_wait_for_ever(pod: Pod, server: FakeVllm) -> None:
    server.up = False
    pod.lists(never=str(pod.folder / "never"))
    assert pod.joined.report() == adapter_list.AdapterReport()
    pod.now = FIRST_SECONDS  # of a server that starts slowly
    server.up = True
    pod.joined.step()
    assert not pod.joined.ready
    pod.now += FIRST_SECONDS
    pod.joined.step()
    assert pod.joined.ready and "never" in pod.joined.failures


@pytest.mark.parametrize("text", ["", "{", "[]", '{"adapters": [1]}', '{"adapters": {"a": 1}}', '"x"', "null"])
def test_a_list_that_is_none_changes_nothing(pod: Pod, server: FakeVllm, text: str) -> None:
    one = pod.adapter("one")
    pod.lists(one=one)
    (pod.folder / adapter_list.FILE).write_text(text)
    pod.joined.step()
    assert server.loaded == {"one": one}


def test_without_a_list_the_server_is_ready_as_it_is(pod: Pod) -> None:
    pod.joined.step()
    assert pod.joined.ready


def test_the_operator_hears_over_http(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1/models").write_text(json.dumps({"data": [{"id": "base", "root": "x"}]}))
    (tmp_path / adapter_list.FILE).write_text(adapter_list.written({"late": str(tmp_path / "late")}))
    mark = adapter_list.mark({"late": str(tmp_path / "late")})
    port, other = free_ports(2)
    server = [sys.executable, "-m", "http.server", str(other), "--bind", "127.0.0.1", "-d", str(tmp_path)]
    adapters = [
        sys.executable, "-m", "genset", "adapters", "--list", str(tmp_path / adapter_list.FILE),
        "--server", f"http://127.0.0.1:{other}", "--listen", f"127.0.0.1:{port}",
    ]  # fmt: skip
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in (server, adapters)]
    try:
        report, deadline = None, time.monotonic() + 60
        while report is None or not report.mark:
            assert time.monotonic() < deadline, f"heard {report} and no more"
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}{adapter_list.REPORT_PATH}", trust_env=False)
                report = adapter_list.AdapterReport.from_json(answer.content)
            except httpx.TransportError:
                time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert report == adapter_list.AdapterReport(mark, waiting=1)
