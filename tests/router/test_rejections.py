"""A configuration that cannot be served: told once with the remedy, and what is served goes on. Nothing ends the process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.reload import FolderSource
from testbed.router import RunningRouter, cloud, config, free_port, house, until
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream

REMEDY = "provider openAICompatible with baseURL https://api.cerebras.ai/v1"


def unknown() -> dict[str, Any]:
    return config(cloud("https://api.cerebras.ai/v1", provider="cerebras"))


async def test_a_first_rejection_is_told_once_and_a_good_one_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "genset")
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, unknown()) as router:
        assert caplog.text.count(REMEDY) == 1
        assert [record.levelname for record in caplog.records if REMEDY in record.message] == ["ERROR"]
        assert "no configuration yet: every request gets 503 until one is taken" in caplog.text
        refused = await router.ask(chat())
        assert refused.status == 503 and REMEDY in refused.json["error"]["message"]
        router.router.hang_up()
        await until(lambda: router.metrics.reload_failures == 2)
        assert caplog.text.count(REMEDY) == 1, "told again although nothing has changed"
        router.write(config(house(local.base_url)))
        await until(lambda: router.configured)
        assert (await router.ask(chat())).complete


NEWER: dict[str, dict[str, Any]] = {
    "a provider": {"backends": [cloud("https://h/v1", provider="brandNew")]},
    "a field": {"quotas": []},
    "a field of a backend": {"backends": [{**cloud("https://h/v1"), "zone": "eu"}]},
    "a way to write on": {"backends": [{**cloud("https://h/v1"), "continuation": "Telepathy"}]},
    "a kind": {"backends": [{**cloud("https://h/v1"), "kind": "edge"}]},
    "a version": {"version": 2},
}


@pytest.mark.parametrize("case", NEWER)
async def test_the_next_operators_configuration_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    async with ScriptedUpstream() as local:
        good = config(house(local.base_url))
        async with RunningRouter(tmp_path, good) as router:
            router.write({**config(cloud("https://h/v1"), generation=2), **NEWER[case]})
            await until(lambda: router.config_error is not None)
            view = (await router.admin("/-/config")).json
            assert "does not know it; a newer operator needs routers of its release" in view["error"], view["error"]
            assert view["generation"] == 1 and caplog.text.count("Rejected the configuration") == 1
            assert (await router.ask(chat())).complete
            assert (await router.admin("/-/ready")).status == 200


async def test_a_fault_of_ours_is_no_end_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = FolderSource.load

    def broken(_: FolderSource) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(FolderSource, "load", broken)
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        assert "see the router's log" in str(router.config_error) and "a fault of ours" in caplog.text
        monkeypatch.setattr(FolderSource, "load", load)
        router.router.hang_up()
        await until(lambda: router.configured)
        assert (await router.ask(chat())).complete


@pytest.mark.parametrize("content", [json.dumps(unknown()).encode(), b"\xff\xfe", b"[" * 100_000])
async def test_the_process_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "router.json").write_bytes(content)
    port, admin = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "genset", "router", "--config-dir", str(tmp_path), "--listen", f"127.0.0.1:{port}",
        "--admin", f"127.0.0.1:{admin}", "--access-log", "off", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        view: dict[str, Any] = {}
        for _ in range(200):
            try:
                view = (await request(f"http://127.0.0.1:{admin}/-/config")).json
                break
            except OSError:
                await asyncio.sleep(0.05)
        assert str(tmp_path / "router.json") in view["error"] and process.returncode is None
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0 and b"Traceback" not in said
    assert said.decode().count(view["error"]) == 1, said
