"""Makes the output items of a Responses answer out of the blocks of a chat answer. Pure."""

from __future__ import annotations

import re
from typing import Any, Final, final

from genset.router.dialects.call_seals import sealed_id
from genset.router.dialects.openai import blocks as parts
from genset.router.dialects.openai.blocks import Block
from genset.router.dialects.responses.tools import INPUT, Tools
from genset.router.dialects.tolerant import loads

COMPLETED = "completed"
IN_PROGRESS = "in_progress"
INCOMPLETE = "incomplete"
#: As `Output` makes them. OpenAI's have 48 digits or more.
_OWN_ID: Final = re.compile(r"[a-z]{2,3}_[0-9a-f]{36}")


def is_own_id(identity: object) -> bool:
    """Returns whether this router, or another one, has made the id of an item: no provider knows it."""
    return isinstance(identity, str) and _OWN_ID.fullmatch(identity) is not None


@final
class Output:
    """An output is one item: its block, its number in the answer, and its id, which is the same from its first event on."""

    __slots__ = ("_tools", "block", "call_id", "custom", "identity", "index")

    def __init__(self, block: Block, index: int, seed: str, tools: Tools) -> None:
        self._tools = tools
        self.block = block
        self.index = index
        self.custom = block.kind == parts.CALL and tools.is_custom(block.name)
        prefix = "msg"
        if block.kind == parts.CALL:
            prefix = "ctc" if self.custom else "fc"
        elif block.kind in (parts.THINKING, parts.ENCRYPTED):
            prefix = "rs"
        self.identity = f"{prefix}_{seed}{index:04x}"
        self.call_id = sealed_id(block.identity or f"call_{seed[:20]}{index:04x}", block.seal)

    @property
    def text(self) -> str:
        """Returns the text of the item, or the arguments of its call."""
        if self.custom:
            return _free_text(self.block.text)
        if self.block.kind == parts.CALL:
            return self.block.text or "{}"
        return self.block.text

    def goes_on(self, item: dict[str, Any]) -> None:
        """Takes the place of an item that another server has opened."""
        identity = item.get("id")
        if isinstance(identity, str):
            self.identity = identity

    def opened(self) -> dict[str, Any]:
        """Returns the item before any of its text."""
        return self._item(IN_PROGRESS, "", [])

    def whole(self, status: str) -> dict[str, Any]:
        """Returns the item with its text."""
        return self._item(status, self.text, [self.part(self.text, self.block.logprobs)])

    def part(self, text: str, logprobs: list[Any]) -> dict[str, Any]:
        """Returns the only part of the item with this text."""
        if self.block.kind == parts.REFUSAL:
            return {"type": "refusal", "refusal": text}
        if self.block.kind == parts.TEXT:
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
        return {"type": "reasoning_text", "text": text}

    def _item(self, status: str, text: str, held: list[dict[str, Any]]) -> dict[str, Any]:
        kind, base = self.block.kind, {"id": self.identity}
        if kind == parts.CALL:
            namespace, name = self._tools.names_of(self.block.name)
            if self.custom:
                return {
                    "type": "custom_tool_call",
                    **base,
                    "call_id": self.call_id,
                    "name": name,
                    "input": text,
                    "status": status,
                }
            item = {
                "type": "function_call",
                **base,
                "call_id": self.call_id,
                "name": name,
                "arguments": text,
                "status": status,
            }
            return {**item, "namespace": namespace} if namespace else item
        if kind == parts.THINKING:
            return {
                "type": "reasoning",
                **base,
                "summary": [],
                "content": held,
                "encrypted_content": None,
                "status": status,
            }
        if kind == parts.ENCRYPTED:
            return {"type": "reasoning", **base, "summary": [], "encrypted_content": self.block.text, "status": status}
        return {"type": "message", **base, "status": status, "role": "assistant", "content": held}


def _free_text(arguments: str) -> str:
    """Returns the text that a call of a function stands for; what a model wrote in another form stays as it is."""
    try:
        value = loads(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        return arguments
    text = value.get(INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
