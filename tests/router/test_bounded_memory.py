"""What a request costs in memory: a router of its own, its peak as the kernel tells it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from testbed.router import cloud, config, house, spawn
from testbed.upstream.client import request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Silence, Status

POD_MIB = 256  # router.resources.memory
MOST = 32 * 1024 * 1024  # limits.maxBody
START = b'{"model":"counting","messages":[{"role":"user","content":"x"}],"x":['


INSIDE = b'{"model":"counting","messages":{"x":['
HELD = 22 * 1024 * 1024


def filled(item: bytes, count: int, start: bytes = START, end: bytes = b"]}") -> bytes:
    """So many values, and text up to the largest body."""
    values = start + b",".join([item] * count) + b',"'
    return values + b"a" * (MOST - len(values) - 1 - len(end)) + b'"' + end


def keys(of: str) -> bytes:
    return b'{"model":"counting","z":":",' + ",".join(f'"{of}{number}":1' for number in range(550_000)).encode() + b"}"


def memory_mib(pid: int, what: str) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) // 1024


async def post(port: int, body: bytes, path: str = "/v1/chat/completions", kind: str = "application/json") -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(30):
        status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (filled(b"[]", 1), 200),
        (filled(b"100000", 1_500_000), 200),
        (filled(b'{"k":0}', 270_000), 200),
        (filled(b"12345678901234567890", 1_300_000), 200),
        (filled(b"[]", 600_000), 200),
        (filled(b"[]", 600_000, INSIDE, b"]}}"), 200),
        (START + b'"' + "ж".encode() + b"a" * 31_000_000 + b'"]}', 200),
        (START + b'"' + "\U0001f600".encode() + b"a" * 33_000_000 + b'"]}', 413),
        (START + b",".join([b"[]"] * 10_300_000) + b"]}", 400),
        (START + b",".join([b"{}"] * 10_300_000) + b"]}", 400),
    ],
    ids=[
        *("text", "numbers", "objects", "long numbers", "lists", "lists inside", "wide", "too wide"),
        *("hostile lists", "hostile objects"),
    ],
)
async def test_the_largest_bodies_fit_the_default_pod(tmp_path: Path, body: bytes, status: int) -> None:
    assert len(body) <= MOST
    async with ScriptedUpstream() as local:
        process, port, _ = await spawn(tmp_path, config(house(local.base_url)))
        try:
            assert await post(port, body) == status
            assert memory_mib(process.pid, "VmHWM") < POD_MIB
            assert await post(port, json.dumps({"model": "counting", "messages": []}).encode()) == 200
        finally:
            process.terminate()
            await process.wait()


#: Text that Python holds in two bytes for each of its characters.
WIDE = b'"' + "ж".encode() + b"a" * 31_000_000 + b'"'
MESSAGES = b'{"model":"counting","max_tokens":9,"messages":[{"role":"user","content":%b}]}' % WIDE
RESPONSES = b'{"model":"counting","stream":false,"input":[{"role":"user","content":%b}]}' % WIDE
FORM = (
    b'--X\r\ncontent-disposition: form-data; name="model"\r\n\r\ncounting\r\n--X\r\ncontent-disposition: form-data; '
    b'name="file"; filename="a"\r\n\r\n%b\r\n--X--\r\n' % WIDE
)
OTHER_APIS: dict[str, tuple[str, bytes, str]] = {
    "messages": ("/v1/messages", MESSAGES, "anthropic"),
    "messages, escaped": ("/v1/messages", MESSAGES.replace(b'"model"', b'"mod\\u0065l"'), "anthropic"),
    "messages, translated": ("/v1/messages", MESSAGES, ""),
    "responses": ("/v1/responses", RESPONSES, "openai"),
    "responses, translated": ("/v1/responses", RESPONSES, ""),
    "counts": ("/v1/messages/count_tokens", MESSAGES, "anthropic"),
    "counts of the house": ("/v1/messages/count_tokens", MESSAGES, ""),
    "a form": ("/v1/audio/transcriptions", FORM, ""),
}


@pytest.mark.parametrize("api", OTHER_APIS)
async def test_the_largest_bodies_of_other_apis_fit_the_default_pod(tmp_path: Path, api: str) -> None:
    """Several forms of one request are there: the client's, OpenAI's, and the server's."""
    path, body, provider = OTHER_APIS[api]
    assert len(body) <= MOST
    async with ScriptedUpstream(default=Status(429, "", {"retry-after": "60"})) as server:
        url = {"api": "Responses"} if provider == "openai" else {}
        backend = cloud(server.base_url, provider=provider, url=url) if provider else house(server.base_url)
        process, port, _ = await spawn(tmp_path, config(backend))
        try:
            kind = "multipart/form-data; boundary=X" if "form" in api else "application/json"
            status = await post(port, body, path, kind)
            assert status == (200 if "counts" in api else 429), "an estimate stands in for a count"
            assert memory_mib(process.pid, "VmHWM") < POD_MIB
        finally:
            process.terminate()
            await process.wait()


@pytest.mark.parametrize("key", ["k", "é", "\\u0061"], ids=["plain", "wide", "escaped"])
async def test_a_body_of_keys_fits_beside_bodies_in_work(tmp_path: Path, key: str) -> None:
    """These are there twice: in the router, and on their way to a backend that does not read."""
    held = START + b'"' + b"a" * HELD + b'"]}'
    async with ScriptedUpstream(default=Silence(headers=False)) as local:
        process, port, _ = await spawn(tmp_path, config(house(local.base_url)))
        try:
            waiting = [asyncio.ensure_future(post(port, held)) for _ in range(2)]
            await local.until(lambda: len(local.requests) == 2)
            assert await post(port, keys(key)) == 400
            assert memory_mib(process.pid, "VmHWM") < POD_MIB
            for task in waiting:
                task.cancel()
        finally:
            process.kill()  # it would wait for what is in work
            await process.wait()


async def test_names_that_clients_choose_do_not_stay(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        process, port, admin = await spawn(tmp_path, config(house(local.base_url), models=["*"]))
        try:
            assert await post(port, json.dumps({"model": "m", "messages": []}).encode()) == 200
            before = memory_mib(process.pid, "VmRSS")
            for number in range(60):
                name = f"{number}-" + "n" * 8_000_000
                assert await post(port, json.dumps({"model": name, "messages": []}).encode()) == 404
            for number in range(300):
                name = f"{number}-".ljust(256, "n")
                assert await post(port, json.dumps({"model": name, "messages": []}).encode()) == 200
                assert (await request(f"http://127.0.0.1:{port}/v1/models/{name}")).status == 404
            assert memory_mib(process.pid, "VmRSS") < before + 50
            page = (await request(f"http://127.0.0.1:{admin}/metrics")).body
            assert b"nnnn" not in page
        finally:
            process.terminate()
            await process.wait()
