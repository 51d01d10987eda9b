"""Router and puller as any user in group 0 with a read-only root, as OpenShift runs them: real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from testbed.router import config, free_port, house
from testbed.upstream.client import chat, request
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from tests.support import any_user
from tests.support.weights.fakes import FakeOrigin, serving, sha256, tiny_gguf


@pytest.fixture(autouse=True)
def _possible() -> None:
    any_user.skip_if_impossible()


def test_the_user_is_nobody_and_can_write_nowhere_but_where_a_pod_can(tmp_path: Path) -> None:
    code = (
        "import os, pathlib\n"
        "print(os.getuid(), os.getgid(), os.environ['HOME'])\n"
        "for place in ('/', '/mnt/source', '/mnt/python', '/usr', '/tmp', '/mnt/work'):\n"
        "    try: (pathlib.Path(place) / 'x').write_text('x'); print(place)\n"
        "    except OSError: pass\n"
    )
    done = subprocess.run(any_user.command(tmp_path, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(any_user.UID), "0", "/tmp", "/tmp", "/mnt/work"]


async def test_a_router_serves(tmp_path: Path) -> None:
    data, admin = free_port(), free_port()
    async with ScriptedUpstream() as upstream:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "router.json").write_text(json.dumps(config(house(upstream.base_url))))
        process = await asyncio.create_subprocess_exec(
            *any_user.command(
                tmp_path, "-m", "genset", "router", "--config-dir", "/mnt/work/config", "--credentials", "/mnt/work/config",
                "--listen", f"[::]:{data}", "--admin", f"[::]:{admin}",
            )
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                while not await _ready(admin):
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
            answer = await request(f"http://127.0.0.1:{data}/v1/chat/completions", chat())
            assert answer.complete and fault(answer.text, 10) is None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _ready(port: int) -> bool:
    try:
        return (await request(f"http://127.0.0.1:{port}/-/ready")).status == 200
    except OSError:
        return False


def test_a_puller_fetches_and_a_later_user_of_the_group_finds_it(tmp_path: Path) -> None:
    model = tiny_gguf(50_000)
    with serving(FakeOrigin()) as origin:
        origin.put("/m.gguf", model)
        arguments = (
            "-m", "genset", "weights", "fetch", "--url", f"{origin.url}/m.gguf", "--sha256", sha256(model),
            "--into", "/mnt/work", "--listen", "[::]:0",
        )  # fmt: skip
        done = subprocess.run(any_user.command(tmp_path, *arguments), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        path = tmp_path / Path(done.stdout.strip()).relative_to("/mnt/work")
        assert path.read_bytes() == model
        found = path.stat()
        assert found.st_uid == any_user.UID and found.st_mode & 0o040, "its group may read it"
