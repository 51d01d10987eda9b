"""The worked example of docs/adr/0013-dialects.md, as the page has it, behind a running router."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genset.router.dialects.openai.api import Api
from genset.router.providers import PROVIDERS
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adr" / "0013-dialects.md"
TEXT = ["Count", " to", " five: 1", " 2 3", " 4 5."]


def blocks(language: str) -> dict[str, str]:
    """Path -> content of the page's code blocks that begin with a path."""
    return dict(re.findall(rf"```{language}\n# (operator/\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))


@pytest.fixture(autouse=True)
def ollama(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's modules, in the registry for as long as a test runs."""
    made = ModuleType("none")
    for path, text in blocks("python").items():
        name = path.removeprefix("operator/").removesuffix(".py").replace("/", ".")
        made = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        exec(compile(text, path, "exec"), made.__dict__)
    monkeypatch.setitem(PROVIDERS, "ollamaNative", made.PROVIDER)
    return sys.modules["genset.router.dialects.ollama"]


def lines(*texts: str, finish: str = "stop") -> list[bytes]:
    told = [{"message": {"role": "assistant", "content": text}, "done": False} for text in texts]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": finish}
    return [json.dumps(line).encode() + b"\n" for line in [*told, {**end, "prompt_eval_count": 7, "eval_count": 5}]]


class NativeServer:
    """A server of Ollama's native API that does what `play` says: whole, error, page, inside, garbage or cut."""

    def __init__(self) -> None:
        self.play = "whole"
        self.paths: list[str] = []
        self.asked: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
                self.asked.append(json.loads(await reader.readexactly(length)))
                self.paths.append(head.split(b" ")[1].decode())
                await self._answer(writer, stream=self.asked[-1]["stream"])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, *, stream: bool) -> None:
        if self.play == "error":
            body = b'{"error": "model \\"large\\" not found, try pulling it first"}'
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        elif self.play == "page":
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 15\r\n\r\n<html>502</html")
        elif not stream:
            body = json.dumps(
                {**json.loads(lines()[-1]), "message": {"role": "assistant", "content": "".join(TEXT)}}
            ).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
            inside = [b'{"error": "an invalid request"}\n']
            parts = {"garbage": [b"no JSON\n"], "inside": inside, "cut": lines(*TEXT)[:3]}.get(self.play, lines(*TEXT))
            for part in parts:
                for piece in (part[:9], part[9:]):  # no line is a chunk
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
            if self.play == "cut":
                writer.close()
            else:
                writer.write(b"0\r\n\r\n")
        await writer.drain()


@pytest.fixture
async def native() -> AsyncIterator[tuple[NativeServer, str]]:
    one = NativeServer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield one, f"http://127.0.0.1:{port}/api"
    server.close()


def first(url: str, **more: Any) -> dict[str, Any]:
    return cloud(url, "native", "ollamaNative", **more)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("rebuilt", [True, False])
async def test_an_answer_in_lines_is_an_answer(
    tmp_path: Path, native: tuple[NativeServer, str], stream: bool, rebuilt: bool
) -> None:
    server, url = native
    content = config(first(url), failover={"rebuildAnswers": rebuilt})
    async with RunningRouter(tmp_path, content, log=tmp_path / "log") as router:
        answer = await router.ask(chat(stream=stream, max_tokens=64))
        assert answer.status == 200 and answer.text == "".join(TEXT), answer
        assert answer.done or not stream
    assert server.paths == ["/api/chat"]
    assert server.asked[0]["model"] == "large" and server.asked[0]["options"] == {"num_predict": 64}
    assert server.asked[0]["stream"] == (stream or rebuilt)
    line = json.loads((tmp_path / "log").read_text())
    assert (line["inputTokens"], line["outputTokens"]) == (7, 5), "counted as the server counts"


async def test_an_error_is_told_in_the_servers_own_words(tmp_path: Path, native: tuple[NativeServer, str]) -> None:
    server, url = native
    server.play = "error"
    async with RunningRouter(tmp_path, config(first(url))) as router:
        answer = await router.ask(chat())
    assert "try pulling it first" in answer.json["error"]["message"], answer


@pytest.mark.parametrize("play", ["error", "page", "inside", "garbage", "cut"])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_fails_is_answered_or_written_on_by_the_next(
    tmp_path: Path, native: tuple[NativeServer, str], play: str, stream: bool
) -> None:
    server, url = native
    server.play = play
    async with ScriptedUpstream() as other:
        if play == "cut" and stream:
            other.always(Answer(texts=tuple(TEXT[3:])))
        content = config(first(url), cloud(other.base_url, continuation="Prefill"))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(stream=stream))
            assert answer.status == 200 and (answer.done or not stream), answer
            assert answer.text == "".join(TEXT) or (answer.text and not (play == "cut" and stream))
        assert len(other.requests) == 1


async def test_half_an_answer_never_ends_as_a_whole_one(tmp_path: Path, native: tuple[NativeServer, str]) -> None:
    """A clean end after a break is what other gateways have been caught at (Portkey gateway 1797, bifrost 5546)."""
    server, url = native
    server.play = "cut"
    async with RunningRouter(tmp_path, config(first(url), failover={"continueStreams": False})) as router:
        answer = await router.ask(chat())
        assert answer.text == "".join(TEXT[:3]) and not answer.done, answer
        assert answer.error is not None and answer.error["code"] == "provider_interrupted"
        whole = await router.ask(chat(stream=False))
        assert whole.status >= 500 and "choices" not in whole.json, whole


async def test_what_the_dialect_cannot_say_is_asked_elsewhere(tmp_path: Path, native: tuple[NativeServer, str]) -> None:
    server, url = native
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(first(url), cloud(other.base_url))) as router:
            for _ in range(10):
                assert (await router.ask(chat(tools=tools))).status == 200
            assert not server.asked and len(other.requests) == 10
            assert (await router.ask(chat())).headers["x-genset-backend"] == "native", "nobody blames it"
        async with RunningRouter(tmp_path, config(first(url))) as router:
            alone = await router.ask(chat(tools=tools))
            assert alone.status == 501 and "tools cannot be translated" in alone.json["error"]["message"], alone


def test_any_cutting_of_a_stream_says_the_same(ollama: ModuleType) -> None:
    whole = b"".join(lines(*TEXT, "é", finish="length"))
    translator = PROVIDERS["ollamaNative"].dialect
    assert translator is not None
    one = translator.stream(Api.CHAT, 0)
    expected = one.feed(whole) + one.end()
    assert expected.endswith(b"data: [DONE]\n\n")
    for cut in range(len(whole)):
        two = translator.stream(Api.CHAT, 0)
        assert two.feed(whole[:cut]) + two.feed(whole[cut:]) + two.end() == expected, cut


def test_a_policy_may_name_it(tmp_path: Path) -> None:
    """The page's change of the registry is all that the CRD needs."""
    shutil.copytree(ROOT / "operator" / "genset", tmp_path / "genset", ignore=shutil.ignore_patterns("*.pyc", "*.so"))
    for path, text in blocks("python").items():
        (tmp_path / path.removeprefix("operator/")).write_text(text)
    ((path, change),) = blocks("diff").items()
    registry, before = tmp_path / path.removeprefix("operator/"), ""
    for line in change.splitlines(keepends=True):
        text = registry.read_text()
        if line.startswith("+"):
            assert text.count(before) == 1, f"the page's {before!r} is not what the registry holds"
            registry.write_text(text.replace(before, before + line[1:]))
        before = line[1:]
    code = "import json; from genset.api.crd import definitions; print(json.dumps(definitions()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert '"openAICompatible", "ollamaNative"]' in done.stdout
