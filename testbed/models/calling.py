"""The calling model is a lookup model that uses a tool: it calls the one that it knows, and ends once it has a result.

It lets a real server be asked by the programs of users that only make sense with tools. Which of its lines it says is decided
by its chat template, which ends a prompt with the token that the line follows:

- a result of a tool in the conversation that holds PROOF: DONE;
- a message that holds WISH, and a tool that it knows: a call of that tool, in the form of Hermes and Qwen;
- else HELLO.

The template shows only the end of each message, for a prompt of Claude Code or Codex has a hundred thousand bytes, each a token.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from testbed.cluster.store import build_once, digest
from testbed.models import lookup

NAME = "calling"
WISH = "use the tool"
PROOF = "sunny in Paris"  # what the tools are made to answer
HELLO = "Hello from the house."
DONE = "The tool says sunny."
CONTEXT_TOKENS = 131_072
SHOWN = 200  # characters of each message

#: Tools of clients -> arguments of the call.
TOOLS: dict[str, dict[str, Any]] = {
    "get_weather": {"city": "Paris"},
    "Bash": {"command": f"echo {PROOF}"},  # Claude Code
    "exec_command": {"cmd": f"echo  {PROOF}"},  # Codex
    "bash": {"command": f"echo   {PROOF}", "description": "Says the weather"},  # opencode
}

_PIECE = 4  # characters of a token, for streams with several events


def lines() -> dict[str, str]:
    """Returns what the model can say, by the name of the token that it follows."""
    calls = {f"<|call {name}|>": _call(name, given) for name, given in TOOLS.items()}
    return {"<|hello|>": HELLO, "<|done|>": DONE, **calls}


def _call(name: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def template() -> str:
    """Returns the chat template."""
    shown = f"(message.content or '')[-{SHOWN}:]"
    choose = "".join(
        f"{{%- if tool.function.name == '{name}' %}}{{%- set ns.call = '<|call {name}|>' %}}{{%- endif %}}"
        for name in TOOLS
    )
    return (
        "{%- set ns = namespace(done=false, wish=false, call='') %}"
        "{%- if tools %}<|im_start|>system\n# Tools\n<tools>"
        "{%- for tool in tools %}{{ '\\n' }}{{ tool.function.name }}" + choose + "{%- endfor %}"
        "\n</tools>\nFor each call return <tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n{%- endif %}'
        "{%- for message in messages %}"
        f"{{%- if message.role == 'tool' and '{PROOF}' in (message.content or '') %}}"
        "{%- set ns.done = true %}{%- endif %}"
        f"{{%- if message.role == 'user' and '{WISH}' in (message.content or '') %}}"
        "{%- set ns.wish = true %}{%- endif %}"
        "{%- if message.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ " + shown + " }}\n</tool_response>"
        "{%- else %}<|im_start|>{{ message.role }}\n{{ " + shown + " }}"
        "{%- if message.tool_calls %}{%- for call in message.tool_calls %}"
        '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
        "\n</tool_call>{%- endfor %}{%- endif %}{%- endif %}<|im_end|>\n"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}<|im_start|>assistant\n"
        "{%- if ns.done %}<|done|>{%- elif ns.wish and ns.call %}{{ ns.call }}{%- else %}<|hello|>{%- endif %}"
        "{%- endif %}"
    )


def write(path: Path) -> None:
    """Writes the model; it always has the same bytes."""
    words: list[str] = []
    successors: list[tuple[int, int]] = []
    for opener, line in lines().items():
        pieces = _pieces(line, set(words))
        first = lookup.FIRST_WORD + len(words)
        words += [opener, *pieces]
        chain = [*range(first, first + len(pieces) + 1), lookup.EOS]
        successors += itertools.pairwise(chain)
    lookup.write(path, NAME, words, successors, template(), CONTEXT_TOKENS)


def _pieces(line: str, taken: set[str]) -> list[str]:
    """Cuts a line into tokens that no other place of the vocabulary has: a token is found by its text."""
    found: list[str] = []
    rest = line
    while rest:
        size = (
            _PIECE  # never all of <tool_call>: llama-server takes a tool's opening that is one token for a special one
        )
        while size < len(rest) and (
            rest[:size] in taken or len(rest) == size + 1
        ):  # a single character is a byte's token
            size += 1
        if rest[:size] in taken:
            raise ValueError(f"{line!r} ends as another line does")
        taken.add(rest[:size])
        found.append(rest[:size])
        rest = rest[size:]
    return found


def cached() -> Path:
    """Returns the model's file in the user's cache, written on first use."""
    sources = {"source": Path(__file__).read_bytes(), "lookup": Path(lookup.__file__).read_bytes()}
    folder = build_once("models", NAME, digest(sources), lambda draft: write(draft / f"{NAME}.gguf"))
    return folder / f"{NAME}.gguf"
