"""The labelled requests of labelled.txt, as clients send them. Every second one is held out: no rule was made by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

TASKS = ("Classify", "Extract", "Summarise", "Translate", "Code", "Reason", "Converse", "Agent")
_TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
_CHOICES = {"type": "object", "properties": {"label": {"enum": ["a", "b", "c"]}}}
_FIELDS = {"type": "object", "properties": {"name": {"type": "string"}, "total": {"type": "number"}}}
_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
}
_RESULT = {"role": "tool", "tool_call_id": "1", "content": "4"}


class Labelled(NamedTuple):
    """A request with its task. `held_out`: it was not looked at when the rules were made."""

    task: str
    language: str
    request: dict[str, Any]
    held_out: bool


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


_HAS: dict[str, dict[str, Any]] = {
    "tools": {"tools": [_TOOL, _TOOL]},
    "forced": {"tools": [_TOOL], "tool_choice": "required"},
    "enums": _schema(_CHOICES),
    "schema": _schema(_FIELDS),
    "loop": {},
}


def _request(has: list[str], text: str) -> dict[str, Any]:
    system, _, said = text.replace("⏎", "\n").rpartition(" || ")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for number, turn in enumerate(said.split(" >> ")):
        messages.append({"role": "assistant" if number % 2 else "user", "content": turn})
    found: dict[str, Any] = {"model": "m", "messages": [*messages, _CALL, _RESULT] if "loop" in has else messages}
    for one in has:
        found.update(_HAS[one])
    return found


def labelled() -> list[Labelled]:
    lines = Path(__file__).with_name("labelled.txt").read_text().splitlines()
    found: list[Labelled] = []
    for number, line in enumerate(line for line in lines if not line.startswith("#")):
        head, _, text = line.partition(" | ")
        task, language, *has = head.split()
        found.append(Labelled(task, language, _request(has, text), number % 2 == 1))
    return found
