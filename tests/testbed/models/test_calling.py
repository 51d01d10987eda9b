"""The calling model: its lines are chains of tokens that no other line shares."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import jinja2

from testbed.models import calling


def prompt(messages: list[dict[str, object]], *tools: str) -> str:
    held = [{"type": "function", "function": {"name": name}} for name in tools]
    template = jinja2.Environment().from_string(calling.template())
    return template.render(messages=messages, tools=held, add_generation_prompt=True)


def test_each_line_is_in_the_vocabulary_in_pieces_of_its_own(tmp_path: Path) -> None:
    calling.write(tmp_path / "model.gguf")
    field = gguf.GGUFReader(tmp_path / "model.gguf").get_field("tokenizer.ggml.tokens")
    assert field is not None
    tokens = field.contents()
    assert len(set(tokens)) == len(tokens)
    said = "".join(tokens[260:])
    assert all(opener + line in said for opener, line in calling.lines().items())


def test_what_it_says_follows_from_the_conversation() -> None:
    user = {"role": "user", "content": f"Please {calling.WISH}"}
    result = {"role": "tool", "content": f"It is {calling.PROOF}."}
    assert prompt([{"role": "user", "content": "Hi"}], "Bash").endswith("<|hello|>")
    assert prompt([user]).endswith("<|hello|>"), "without a tool that it knows there is nothing to call"
    assert prompt([user], "Read", "Bash").endswith("<|call Bash|>")
    assert prompt([user, result], "Bash").endswith("<|done|>")
    assert prompt([user, {**result, "content": "no"}], "Bash").endswith("<|call Bash|>")


def test_its_calls_are_what_their_tools_take() -> None:
    for name, given in calling.TOOLS.items():
        line = calling.lines()[f"<|call {name}|>"]
        assert json.loads(line.removeprefix("<tool_call>").removesuffix("</tool_call>")) == {
            "name": name,
            "arguments": given,
        }
