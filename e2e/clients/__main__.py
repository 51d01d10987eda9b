"""`python -m e2e.clients`: the clients that people use against a router; prints what each of them met."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from e2e.clients import agents, install, languages, rig, run
from e2e.clients.clients import CLIENTS, Client
from testbed.cluster.console import reported

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients" / "tried.md"
_AT_ONCE = 2  # programs


@click.command(help=__doc__)
@click.option("--only", default="", help="Clients whose name holds this.")
@click.option("--write/--no-write", default=False, help="Write the table to docs/clients/tried.md.")
def main(only: str, write: bool) -> None:
    with reported():
        clients = [client for client in CLIENTS if only.lower() in client.name.lower()]
        tried = [agent for agent in agents.AGENTS if only.lower() in agent.name.lower()]
        _install(sorted({client.program for client in clients}), agents=bool(tried))
        try:
            libraries, tools, mistakes = asyncio.run(_all(clients, tried))
        except asyncio.CancelledError:
            sys.exit(128 + signal.SIGTERM)
    text = "\n\n".join(_table(results) for results in (libraries, tools) if results)
    click.echo(text)
    for mistake in mistakes:
        click.echo(f"A cloud refused what the router made of a request: {mistake}", err=True)
    if write:
        head = _PAGE.read_text().partition("\n| ")[0] if _PAGE.exists() else "# Clients that were tried\n"
        _PAGE.write_text(f"{head}\n{text}\n")
    if mistakes or not all(result.good for result in (*libraries, *tools)):
        sys.exit(1)


def _install(programs: Sequence[str], *, agents: bool) -> None:
    """Installs what the programs need, and the agents; each language beside the others, its own programs one by one."""
    wanted: dict[str, list[str]] = {}
    for program in programs:
        wanted.setdefault(Path(program).suffix, []).append(program)

    def each(own: list[str]) -> None:
        for program in own:
            languages.of(program).install(program)

    steps = [partial(each, own) for own in wanted.values()]
    install.together([*steps, install.node] if agents else steps)


async def _all(
    clients: Sequence[Client], tried: Sequence[agents.Agent]
) -> tuple[list[run.Result], list[run.Result], list[str]]:
    own_task = asyncio.current_task()
    assert own_task is not None
    # Else SIGTERM would leave the rig's llama-server and the clients.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, own_task.cancel)
    with tempfile.TemporaryDirectory(prefix="genset-clients-") as name:
        folder = Path(name)
        places = asyncio.Semaphore(_AT_ONCE)

        def own(which: str) -> Path:
            made = folder / which.replace(" ", "-").replace(",", "")
            made.mkdir()
            return made

        async def library(client: Client, url: str) -> run.Result:
            async with places:
                return await run.results_of(client, url, own(client.name))

        async def tool(agent: agents.Agent, url: str) -> run.Result:
            async with places:
                return await agents.results_of(agent, url, own(agent.name))

        async with rig.running(folder) as running:
            libraries = [library(client, running.url) for client in clients]
            tools = [tool(agent, running.url) for agent in tried]
            found = await asyncio.gather(*libraries, *tools)
            return found[: len(libraries)], found[len(libraries) :], running.mistakes


def _table(results: Sequence[run.Result]) -> str:
    columns = list(results[0].columns)
    rows = [["client", "version", *columns], ["---"] * (len(columns) + 2)]
    rows += [[result.client, result.version, *(result.columns[column] for column in columns)] for result in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
