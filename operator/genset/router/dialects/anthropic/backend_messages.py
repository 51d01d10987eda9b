"""Translates the messages of OpenAI's chat into Anthropic's: a system prompt, and turns of user and assistant in alternation.

All results of one assistant turn stand in one user message directly behind it, and first in it; the API refuses any other
order. Pure.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from genset.router.dialects.anthropic.backend_models import ClaudeModel
from genset.router.dialects.anthropic.backend_parts import Block, Dropped, blocks_of, cache_control_of, text_of
from genset.router.dialects.anthropic.words import (
    REASONING_FORMAT,
    REDACTED,
    TEXT,
    THINKING,
    TOOL_RESULT,
    TOOL_USE,
)
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.tolerant import loads

Message = dict[str, Any]

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_SYSTEM: Final = ("system", "developer")
#: What the first message says if a conversation begins with the assistant: the API wants a user's there.
_BEGINNING: Final = "(The conversation begins with the assistant.)"


class Conversation:
    """A Conversation is built message by message.

    `system` holds the blocks of the system prompt, `messages` the turns. `ends_with_assistant`: whoever answers goes on in
    the assistant's last turn.
    """

    __slots__ = ("_dropped", "_ids", "_late", "_model", "_open", "_seen", "messages", "system")

    def __init__(self, model: ClaudeModel, dropped: Dropped) -> None:
        self.system: list[Block] = []
        self.messages: list[Message] = []
        self._model = model
        self._dropped = dropped
        self._ids: dict[str, str] = {}  # the client's id of a call -> ours
        self._seen: set[str] = set()  # of ours
        self._open: dict[str, str] = {}  # calls of the last turn without a result: our id -> where it stands
        self._late: list[tuple[int, list[Block]]] = []  # system messages in the middle, and the turn that each follows

    def read(self, messages: Any) -> None:
        """Takes all messages of a request. Raises Untranslatable."""
        if not isinstance(messages, list) or not messages:
            raise Untranslatable("messages is no list with a message in it")
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise Untranslatable(f"messages[{index}] is no message")
            self._take(message, f"messages[{index}]")
        self._refuse_open_calls()
        self._place_late()
        if not self.messages and self.system:  # a system prompt alone is what the user asks
            self.messages.append({"role": "user", "content": self.system})
            self.system = []
        if not self.messages:
            raise Untranslatable("messages holds no text")
        if self.messages[0]["role"] == "assistant":
            self.messages.insert(0, {"role": "user", "content": [{"type": TEXT, "text": _BEGINNING}]})

    @property
    def ends_with_assistant(self) -> bool:
        return bool(self.messages[-1]["role"] == "assistant")

    def answers_unthought_calls(self) -> bool:
        """Returns whether the last turn holds results of calls that nobody has thought of, as far as Anthropic has signed it."""
        if len(self.messages) < 2 or self.messages[-1]["content"][0].get("type") != TOOL_RESULT:
            return False
        return self.messages[-2]["content"][0].get("type") not in (THINKING, REDACTED)

    def trim_beginning(self) -> None:
        """Takes white space from the end of the answer that is to be written on: the API refuses it there."""
        content = self.messages[-1]["content"]
        while content and content[-1]["type"] == TEXT:
            content[-1]["text"] = content[-1]["text"].rstrip()
            if content[-1]["text"]:
                return
            content.pop()

    # One message

    def _take(self, message: Message, where: str) -> None:
        role = message.get("role")
        if message.get("name") is not None and role not in ("tool", "function"):
            self._dropped.add("messages[].name")
        if role in _SYSTEM:
            self._take_system(message, where)
        elif role == "user":
            self._refuse_open_calls()
            self._turn("user", self._marked(message, blocks_of(message.get("content"), where, self._dropped)))
        elif role == "assistant":
            self._refuse_open_calls()
            self._take_assistant(message, where)
        elif role == "tool":
            self._take_result(message, message.get("tool_call_id"), where)
        elif role == "function":
            self._take_result(message, f"function_{message.get('name')}", where)
        else:
            raise Untranslatable(f"{where}.role: Anthropic's API knows no {str(role)[:64]}")

    def _take_system(self, message: Message, where: str) -> None:
        blocks = self._marked(message, blocks_of(message.get("content"), where, self._dropped, of_user=False))
        if not blocks:
            return
        if not self.messages or not self._model.system_inside:
            self.system += blocks
        else:
            self._late.append((len(self.messages), blocks))

    def _take_assistant(self, message: Message, where: str) -> None:
        blocks = self._thoughts(message)
        blocks += self._marked(message, blocks_of(message.get("content"), where, self._dropped, of_user=False))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip() and not blocks:
            blocks.append({"type": TEXT, "text": refusal})
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            for index, call in enumerate(calls):
                blocks.append(self._call(call, f"{where}.tool_calls[{index}]"))
        legacy = message.get("function_call")
        if isinstance(legacy, dict):
            blocks.append(self._function(legacy, f"function_{legacy.get('name')}", f"{where}.function_call"))
        if message.get("audio") is not None:
            raise Untranslatable(f"{where}.audio is known to the server alone that made it")
        self._turn("assistant", blocks)

    def _thoughts(self, message: Message) -> list[Block]:
        """Returns the thoughts that Anthropic has signed: nobody else's may be given back to it."""
        made: list[Block] = []
        details = message.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict) or detail.get("format") != REASONING_FORMAT:
                continue
            kind, signature, data = detail.get("type"), detail.get("signature"), detail.get("data")
            if kind == "reasoning.text" and isinstance(signature, str) and signature:
                text = detail.get("text")
                made.append(
                    {"type": THINKING, "thinking": text if isinstance(text, str) else "", "signature": signature}
                )
            elif kind == "reasoning.encrypted" and isinstance(data, str) and data:
                made.append({"type": REDACTED, "data": data})
        if not made and (details or message.get("reasoning_content") or message.get("reasoning")):
            self._dropped.add("messages[].reasoning_content")
        return made

    # Calls of tools and their results

    def _call(self, call: Any, where: str) -> Block:
        if not isinstance(call, dict) or call.get("type") not in (None, "function"):
            raise Untranslatable(f"{where}: Anthropic's API takes calls of functions alone")
        identity = call.get("id")
        return self._function(call.get("function"), identity if isinstance(identity, str) else "", where)

    def _function(self, function: Any, identity: str, where: str) -> Block:
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Untranslatable(f"{where}.function has no name")
        ours = self._our_id(identity)
        self._open[ours] = where
        return {"type": TOOL_USE, "id": ours, "name": function["name"], "input": _arguments(function, where)}

    def _our_id(self, identity: str) -> str:
        """Returns the id of a new call: the client's own, if the API takes it and no earlier call has it."""
        ours = identity
        if not _ID.fullmatch(identity):
            ours = f"call_{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:24]}"
        base, number = ours, 1
        while ours in self._seen:  # servers that count their calls anew in each answer
            number += 1
            ours = f"{base[:120]}_{number}"
        self._seen.add(ours)
        self._ids[identity] = ours
        return ours

    def _take_result(self, message: Message, identity: Any, where: str) -> None:
        content = blocks_of(message.get("content"), where, self._dropped)
        ours = self._ids.get(identity) if isinstance(identity, str) else None
        if (
            ours is None or ours not in self._open
        ):  # belongs to no call of the turn before: the API refuses it as a result
            said = text_of(message.get("content"))
            self._turn("user", [{"type": TEXT, "text": f"Result of a tool: {said}"}] if said.strip() else content)
            return
        del self._open[ours]
        block: Block = {"type": TOOL_RESULT, "tool_use_id": ours}
        if content:
            block["content"] = content
        mark = cache_control_of(message, self._dropped)
        if mark is not None:
            block["cache_control"] = mark
        self._result(block)

    def _result(self, block: Block) -> None:
        """Puts a result behind the results that the turn begins with."""
        if self.messages[-1]["role"] != "user":
            self._turn("user", [block])
            return
        content = self.messages[-1]["content"]
        place = next((index for index, one in enumerate(content) if one["type"] != TOOL_RESULT), len(content))
        content.insert(place, block)

    def _refuse_open_calls(self) -> None:
        if self._open:
            where = next(iter(self._open.values()))
            raise Untranslatable(
                f"{where} has no result: Anthropic's API wants a message of role tool behind each call"
            )

    # Turns

    def _turn(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _place_late(self) -> None:
        """Puts each late system message where it stood, if the API allows that: between a user's turn and an assistant's."""
        for behind, blocks in reversed(self._late):
            follows_user = self.messages[behind - 1]["role"] == "user"
            before_assistant = behind == len(self.messages) or self.messages[behind]["role"] == "assistant"
            if follows_user and before_assistant:
                self.messages.insert(behind, {"role": "system", "content": blocks})
            else:
                self.system += blocks

    def _marked(self, message: Message, blocks: list[Block]) -> list[Block]:
        """Returns the blocks, the last of them with the message's own mark of a cached prefix."""
        mark = cache_control_of(message, self._dropped) if "cache_control" in message else None
        if mark is not None and blocks:
            blocks[-1].setdefault("cache_control", mark)
        return blocks


def _arguments(function: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns the arguments of a call as an object. Raises Untranslatable."""
    given = function.get("arguments")
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    if isinstance(given, str):
        try:
            given = loads(given.encode("utf-8", "surrogatepass"))
        except ValueError:
            raise Untranslatable(f"{where}.function.arguments is no JSON") from None
    if not isinstance(given, dict):
        raise Untranslatable(f"{where}.function.arguments is no JSON object")
    return given
