"""The agents of the command line answer, use a tool, and say what broke, each with the settings of its page in docs/clients/."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from e2e.clients import install
from e2e.clients.rig import ALIAS
from e2e.clients.run import Result, lines_of, run
from testbed.models import calling

SECONDS = 300.0  # for one question


class Agent(NamedTuple):
    """An agent is a program that answers one question. `prepare` writes its settings into its home, and returns its environment.

    `command` is the program and its options for a model, the question apart; `said` reads an answer out of its output.
    """

    name: str
    package: str
    model: str  # a name of the house's model
    prepare: Callable[[Path, str], Mapping[str, str]]
    command: Callable[[str], list[str]]
    said: Callable[[str], str]


def _claude_home(home: Path, url: str) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_SMALL_FAST_MODEL": ALIAS,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _claude_said(output: str) -> str:
    told = next((one for one in lines_of(output) if "result" in one), {})
    return f"Error: {told.get('result')}" if told.get("is_error", True) else str(told["result"])


def _codex_home(home: Path, url: str) -> Mapping[str, str]:
    (home / "config.toml").write_text(
        'model_provider = "genset"\n[model_providers.genset]\nname = "genset"\n'
        f'base_url = "{url}/v1"\nwire_api = "responses"\nrequest_max_retries = 1\nstream_max_retries = 1\n'
    )
    return {"CODEX_HOME": str(home)}


def _codex_said(output: str) -> str:
    told = lines_of(output)
    failed = next((one["error"]["message"] for one in told if one["type"] == "turn.failed"), "")
    texts = [one["item"]["text"] for one in told if one.get("item", {}).get("type") == "agent_message"]
    return f"Error: {failed}" if failed else "".join(texts[-1:])


def _opencode_home(home: Path, url: str) -> Mapping[str, str]:
    models = {name: {"name": name, "tool_call": True} for name in ("house", "broken", "toolong")}
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "genset", "options": options, "models": models}
    settings = {"provider": {"genset": provider}, "small_model": "genset/house", "autoupdate": False}
    (home / "opencode.json").write_text(json.dumps({**settings, "permission": {"bash": "allow"}}))
    return {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}


def _opencode_said(output: str) -> str:
    told = lines_of(output)
    failed = [json.dumps(one["error"]) for one in told if one["type"] == "error"]
    texts = [one["part"]["text"] for one in told if one["type"] == "text"]
    return f"Error: {failed[0]}" if failed else "".join(texts[-1:])


AGENTS: Final = (
    Agent(
        "Claude Code", "@anthropic-ai/claude-code", ALIAS, _claude_home,
        lambda model: ["claude", "--model", model, "--output-format", "json", "--allowedTools", "Bash", "-p"], _claude_said,
    ),
    Agent(
        "Codex", "@openai/codex", "house", _codex_home,
        lambda model: ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json",
                       "-m", model], _codex_said,
    ),
    Agent(
        "opencode", "opencode-ai", "house", _opencode_home,
        lambda model: ["opencode", "run", "--format", "json", "-m", f"genset/{model}"], _opencode_said,
    ),
)  # fmt: skip
#: Columns of the table -> model ("" for the agent's own), question, what the user reads: of an error one of the agents' words.
QUESTIONS: Final[dict[str, tuple[str, str, str | tuple[str, ...]]]] = {
    "answers": ("", "Hi", calling.HELLO),
    "uses a tool": ("", f"Please {calling.WISH}", calling.DONE),
    "says what broke": ("broken", "Hi", ("was cut off", "disconnected", "no backend could answer")),
    "says what is too long": ("toolong", "Hi", ("context length", "context window", "too long")),
}


async def results_of(agent: Agent, url: str, folder: Path) -> Result:
    """Asks an agent its questions. `folder` is an empty one for it."""
    installed = install.node()
    env = {"HOME": str(folder), "PATH": install.search_path(installed), **agent.prepare(folder, url)}
    columns: dict[str, str] = {}
    for column, (model, question, wanted) in QUESTIONS.items():
        program, *options = agent.command(model or agent.model)
        found = installed / "node_modules" / ".bin" / program
        said = agent.said(await run([str(found), *options, question], folder, env, SECONDS))
        good = said == wanted if isinstance(wanted, str) else _tells(said, wanted)
        columns[column] = "yes" if good else said or "nothing"
    return Result(agent.name, install.node_version(agent.package), columns)


def _tells(said: str, words: tuple[str, ...]) -> bool:
    return said.startswith("Error: ") and any(word in said for word in words)
