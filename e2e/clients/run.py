"""Runs the programs of clients against a rig, and says of each task what a user would have got instead of what was to come."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.clients import languages
from e2e.clients.clients import Client
from e2e.clients.rig import ANSWERING, FAILING, FORM, SLOW
from testbed.models import calling

SECONDS = 600.0  # for all tasks of one client, on a machine that has much else to do
#: Columns of the table -> the tasks that each stands for.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "whole": tuple(f"whole:{name}" for name in ANSWERING),
    "streamed": tuple(f"stream:{name}" for name in ANSWERING),
    "tools": tuple(f"tool:{name}" for name in ANSWERING),
    "forms": ("parse:anthropic", "parse:openai"),
    "counts, lists": ("count:house", "list:house"),
    "errors": tuple(f"{how}:{name}" for how in ("whole", "stream") for name in FAILING if name != "broken"),
    "breaks": ("whole:broken", "stream:broken"),
    "waits": (f"stream:{SLOW}",),
}
_TEXTS: Final = {
    "whole": calling.HELLO,
    "stream": calling.HELLO,
    "tool": calling.DONE,
    "count": "true",
    "list": "model",
}
#: Situations -> words of the error that its user reads, whatever class the client makes of it.
_WORDS: Final = {"toolong": "context length", "refused": "must renew the key", "nobody": "no route takes"}


@dataclass(frozen=True)
class Result:
    """A result says for each column "yes", "–" if the client has nothing of the kind, or what went wrong."""

    client: str
    version: str
    columns: Mapping[str, str]

    @property
    def good(self) -> bool:
        return all(said in ("yes", "–") for said in self.columns.values())


async def results_of(client: Client, url: str, folder: Path) -> Result:
    """Runs the program of a client. `folder` is an empty one for it."""
    told = await _tasks(client, url, folder)
    columns = {name: _verdict([wrong_in(told.get(task), task) for task in tasks]) for name, tasks in COLUMNS.items()}
    return Result(client.name, languages.of(client.program).version(client.package), columns)


def wrong_in(told: Mapping[str, Any] | None, task: str) -> str | None:
    """Returns what is wrong with what a client met; "" if nothing is; None if it has nothing of the kind."""
    how, name = task.split(":")
    if told is None:
        return f"{task}: the program ended before"
    if told.get("absent"):
        return None
    error = f"{told.get('error')} {told.get('status')}: {told.get('message')}"
    if name in FAILING:
        if "error" not in told:
            return f"{task}: taken for a whole answer: {told['text']!r}"
        # Of a break it is enough that the client raises: some read the cut body first, some tell no words.
        return "" if name == "broken" or _WORDS[name] in error else f"{task}: {error}"
    if "error" in told:
        return f"{task}: {error}"
    good = json.loads(told["text"]) == FORM if how == "parse" else told["text"] == _TEXTS[how]
    return "" if good else f"{task}: {told['text']!r}"


def _verdict(found: list[str | None]) -> str:
    wrong = [one for one in found if one]
    return "; ".join(wrong) if wrong else "–" if all(one is None for one in found) else "yes"


async def _tasks(client: Client, url: str, folder: Path) -> dict[str, Any]:
    """Returns what the program told, by task."""
    language = languages.of(client.program)
    command = language.command(language.install(client.program), client.program, folder)
    tasks = [task for tasks in COLUMNS.values() for task in tasks]
    own = {"CLIENT_API": client.api, "HOME": str(folder), "PYTHONPATH": "", "NO_PROXY": "*"}
    output = await run([*command, url, *tasks], folder, own)
    return {told["task"]: told for told in lines_of(output)}


def lines_of(output: str) -> list[dict[str, Any]]:
    """Returns the lines of an output that are JSON objects."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


async def run(command: list[str], folder: Path, env: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Runs a program to its end, or for so long, and returns what it wrote; its standard error goes into `folder`."""
    output = folder / "stdout"
    with output.open("wb") as told, (folder / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=told,
            stderr=errors,
            cwd=folder,
            env={**os.environ, "PWD": str(folder), **env},  # some go by it, as a shell would have set it
        )
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return output.read_text(errors="replace")
