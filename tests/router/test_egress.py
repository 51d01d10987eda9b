"""What leaves the house is written down, and the record agrees with what clouds count at their sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genset.cli.egress import command
from genset.contracts.usage import EgressReading
from testbed.router import RunningRouter, cloud, config, house, spawn, until
from testbed.upstream.client import chat, request
from testbed.upstream.counted_cloud import CountedCloud
from testbed.upstream.packets import PacketCounter
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status


def recorded(*backends: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {**config(*backends), "egress": {"required": required}}


def read(folder: Path) -> EgressReading:
    reading = EgressReading()
    for path in folder.iterdir():
        reading.add(path.read_bytes())
    return reading


async def test_every_byte_that_leaves_is_written_down(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with (
        CountedCloud() as far,
        RunningRouter(tmp_path, recorded(cloud(far.base_url, dataZone="eu")), spool=spool) as router,
    ):
        for number in range(12):
            answer = await router.ask(chat(stream=number % 2 == 0), headers={"x-request-id": f"r{number}"})
            assert answer.complete, answer.body
        assert far.connections == 1, "connections are kept, and counted for one request after another"
        await until(lambda: all(entry.ended for entry in read(spool).found()), what="the end of each record")
        told = [line for line in (await router.admin("/metrics")).body.decode().splitlines() if "egress" in line]
        page = CliRunner().invoke(command, ["-f", str(spool), "-o", "csv"]).output
    entries = read(spool).found()
    assert {entry.request: entry.bytes_out for entry in entries} == dict(far.bytes_in)
    assert {entry.request: entry.bytes_in for entry in entries} == dict(far.bytes_out)
    assert {(e.route, e.backend, e.zone, e.host, e.outcome, e.policy) for e in entries} == {
        ("route", "cloud", "eu", "127.0.0.1", "ok", "models/assistant")
    }
    assert {entry.output_tokens for entry in entries} == {3}
    assert "genset_router_egress_failing 0.0" in told and len(page.splitlines()) == 13
    spooled = b"".join(path.read_bytes() for path in spool.iterdir())
    assert b"count" not in spooled and b"0 1 2" not in spooled, "never content"


async def test_what_stays_leaves_no_record(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        document = recorded(house(local.base_url), cloud(far.base_url, dataZone="eu"))
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            assert (await router.ask(chat())).complete
            assert not read(spool).found() and far.accepted == 0


async def test_attempts_that_fail_are_written_down_with_what_became_of_them(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    broken = Answer(words=9, brk=Break("rst", after_chunks=3))
    async with (
        ScriptedUpstream([broken]) as one,
        ScriptedUpstream([Status(503)] * 9) as two,
        ScriptedUpstream() as three,
    ):
        clouds = [
            cloud(up.base_url, name, dataZone="eu") for up, name in ((two, "two"), (one, "one"), (three, "three"))
        ]
        async with RunningRouter(tmp_path, recorded(*clouds), spool=spool) as router:
            assert (await router.ask(chat(stream=True))).complete
            await until(lambda: all(entry.ended for entry in read(spool).found()), what="the end of each record")
    assert [(e.backend, e.outcome) for e in read(spool).found()][-2:] == [("one", "interrupted"), ("three", "ok")]
    assert read(spool).found()[0].outcome == "unavailable"


@pytest.mark.parametrize("required", [True, False])
async def test_nothing_leaves_that_nobody_can_write_down(tmp_path: Path, required: bool) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("no folder")
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        document = recorded(cloud(far.base_url, dataZone="eu"), house(local.base_url), required=required)
        async with RunningRouter(tmp_path, document, spool=blocked) as router:
            assert (await router.ask(chat())).complete
            assert (far.accepted, local.accepted) == ((0, 1) if required else (1, 0)), "the house is never refused"
            document["routes"][0]["tiers"] = [[{"backend": "cloud", "weight": 1}]]
            router.write(document)
            assert await router.router.reload()
            answer = await router.ask(chat())
            if not required:
                assert answer.complete
                return
            assert (
                answer.status == 503
                and answer.json["error"]["type"] == "router_egress_unrecorded"
                and far.accepted == 0
            )
            assert "egress.record Required" in answer.json["error"]["message"]
            blocked.unlink()
            await until(lambda: blocked.is_dir(), what="a look whether there is room again")
            assert (await router.ask(chat())).complete and far.accepted == 1


async def test_a_router_without_a_folder_lets_nothing_out_that_must_be_written_down(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        document = recorded(cloud(far.base_url, dataZone="eu"), required=True)
        async with RunningRouter(tmp_path, document) as router:
            answer = await router.ask(chat())
            assert (
                answer.status == 503
                and "without a folder for egress records (--spool)" in answer.json["error"]["message"]
            )
        assert far.accepted == 0


@contextlib.asynccontextmanager
async def _counted(port: int) -> AsyncIterator[PacketCounter | None]:
    """Counts packets while the block lasts; nothing for who is not root."""
    if os.geteuid() != 0:
        yield None
        return
    with PacketCounter(port) as packets:
        yield packets


async def test_records_agree_with_the_clouds_count_across_kills(tmp_path: Path) -> None:
    """500 requests, three routers killed in the middle of their work."""
    spool = tmp_path / "spool"
    spool.mkdir()
    async with CountedCloud(delay=0.005) as far, _counted(far.port) as packets:
        document = recorded(cloud(far.base_url, dataZone="eu"), required=True)
        numbers = iter(range(500))

        async def client(port: int) -> None:
            for number in numbers:
                with contextlib.suppress(Exception):
                    url = f"http://127.0.0.1:{port}/v1/chat/completions"
                    await request(url, chat(stream=number % 2 == 0), headers={"x-request-id": f"r{number}"})
                if number in (120, 240, 360):
                    return

        for life in range(4):
            process, port, _ = await spawn(tmp_path, document, "--spool", str(spool))
            work = [asyncio.create_task(client(port)) for _ in range(8)]
            if life < 3:
                await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                process.send_signal(signal.SIGKILL)
                for task in work:
                    task.cancel()
            else:
                await asyncio.gather(*work)
                process.terminate()
            await process.wait()
            await asyncio.gather(*work, return_exceptions=True)
    entries = read(spool).found()
    out = {entry.request: entry for entry in entries}
    if packets is not None:
        told, sent = sum(entry.bytes_out or 0 for entry in entries), sum(far.bytes_in.values())
        open_ones = sum(
            entry.bytes_out or 1_000 for entry in entries if entry.ended is None
        )  # nobody knows whether it left
        assert sent <= packets.load and abs(told - packets.load) <= open_ones, (told, packets.load, sent, open_ones)
        assert packets.connections == far.connections
    assert set(far.bytes_in) <= set(out), "something left the house without a record"
    finished = {name for name, entry in out.items() if entry.ended is not None}
    assert {name: out[name].bytes_out for name in finished} == {name: far.bytes_in[name] for name in finished}
    assert {name: out[name].bytes_in for name in finished} == {name: far.bytes_out[name] for name in finished}
    killed = set(out) - finished
    assert len({entry.incarnation for entry in entries}) == 4 and len(killed) <= 3 * 8 and len(finished) > 400
    assert all(
        (out[name].bytes_out or 0) >= far.bytes_in[name] for name in killed & set(far.bytes_in) if out[name].bytes_out
    )
