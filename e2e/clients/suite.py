"""`python -m e2e.clients.suite`: openai-python's own tests of the API's resources, with a router as their server.

They are written for a mock that answers by OpenAI's specification: they send each field that the library has, and hold each
answer to its types. Behind the router stands a scripted OpenAI, which holds each request to the same types. What no router
answers (stored answers, deletions, background) is left out; docs/clients/tried.md says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from e2e.clients import install
from testbed.cluster.console import reported
from testbed.models import calling
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.gpt import ScriptedGpt
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step

#: Files of the suite -> which of their tests a router can be asked for, as pytest's -k has it.
FILES: Final = {
    "chat/test_completions.py": "create",
    "test_completions.py": "create",
    "test_embeddings.py": "create",
    "audio/test_transcriptions.py": "create",
    "audio/test_translations.py": "create",
    "audio/test_speech.py": "create",
    "test_models.py": "list or retrieve",
}
_VECTOR: Final = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
_VECTORS: Final = {"object": "list", "model": "m", "data": [_VECTOR], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
#: Paths besides chat -> what the cloud answers there.
_ANSWERS: Final[dict[str, Step]] = {
    "/v1/completions": Answer(),
    "/v1/embeddings": Status(200, _VECTORS),
    "/v1/audio/transcriptions": Status(200, {"text": "Hi"}),
    "/v1/audio/translations": Status(200, {"text": "Hi"}),
    "/v1/audio/speech": Status(200, b"sound", {"content-type": "audio/mpeg"}),
}
#: Names that the suite asks for, besides any other.
_MODELS: Final = ("gpt-6-astra", "gpt-4o-mini")


@click.command(help=__doc__)
def main() -> None:
    with reported():
        folder = install.suite()
        sys.exit(asyncio.run(_run(folder)))


async def _run(folder: Path) -> int:
    gpt = ScriptedGpt(calling.HELLO, "{}", calling.WISH, calling.TOOLS["get_weather"], calling.PROOF, calling.DONE)

    def choose(received: Received) -> Step | None:
        return _ANSWERS.get(received.path) or gpt.choose(received)

    with tempfile.TemporaryDirectory(prefix="genset-suite-") as name:
        async with ScriptedUpstream(choose=choose) as upstream:
            content = config(cloud(upstream.base_url, "openai", "openai", url={"keyFile": "key"}))
            content["routes"][0]["match"]["models"] = [*_MODELS, "*"]
            async with RunningRouter(Path(name), content, {"key": b"sk-scripted"}) as router:
                found = [await _tests(folder, router.url, *one) for one in FILES.items()]
    for mistake in gpt.mistakes:
        click.echo(f"The cloud refused what the router made of a request: {mistake}", err=True)
    return max(*found, bool(gpt.mistakes))


async def _tests(folder: Path, url: str, file: str, chosen: str) -> int:
    click.echo(file)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--tb=short", "-k", chosen]
    own = {"TEST_API_BASE_URL": f"{url}/v1", "PYTHONPATH": "", "PYTEST_ADDOPTS": "", "NO_PROXY": "*"}
    python = str(folder / "venv" / "bin" / "python")
    process = await asyncio.create_subprocess_exec(
        python, *command, f"tests/api_resources/{file}", cwd=folder / "source", env={**os.environ, **own}
    )
    return await process.wait()


if __name__ == "__main__":
    main()
