"""Translates the input items of a Responses request into OpenAI's messages. Pure.

What an answer was made of, its thinking, texts and calls, is one assistant message again: a message for each call is refused, or
read as calls without results (https://github.com/anomalyco/opencode/issues/40171).
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.call_seals import opened_id, with_seal
from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.responses.tools import INPUT, UNSUPPORTED, Tools
from genset.router.dialects.tolerant import dumps
from genset.router.dialects.turns import SEPARATOR, plain

_CALLS: Final = ("function_call", "custom_tool_call")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
_ROLES: Final = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}


@final
class InputItems:
    """The input items of a request become messages one by one. `dropped` names items that only their provider could read.

    `sealed`: a call has a seal that only Gemini reads (see `call_seals`).
    """

    __slots__ = ("_pictures", "_tools", "_turn", "dropped", "messages", "sealed")

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._turn: dict[str, Any] | None = None  # the assistant's, as far as it has come
        self._pictures: list[dict[str, Any]] = []  # of results, which no portable tool message holds
        self.messages: list[dict[str, Any]] = []
        self.dropped: list[str] = []
        self.sealed = False

    def read(self, given: Any) -> None:
        """Takes the input of a request. Raises RefusedRequest."""
        if isinstance(given, str):
            self.messages.append({"role": "user", "content": given})
            return
        if not isinstance(given, list) or not given:
            raise RefusedRequest(
                "input", "input is neither a text nor a list with at least one item; send the conversation in it"
            )
        for number, item in enumerate(given):
            place = f"input[{number}]"
            if not isinstance(item, dict):
                raise RefusedRequest(place, f"{place} is no object; send an item with its type")
            self._item(item, item.get("type") or "message", place)
        self._flush_pictures()
        self._forget_old_thoughts()

    def _item(self, item: dict[str, Any], kind: Any, place: str) -> None:
        if kind not in _OUTPUTS:
            self._flush_pictures()
        if kind == "message":
            self._message(item, place)
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind in _CALLS:
            self._call(item, kind, place)
        elif kind in _OUTPUTS:
            self._output(item, place)
        elif kind == "item_reference":
            told = (
                f"{place} refers to an item that is stored elsewhere, and this router keeps none; send the item itself, as "
                "clients do that are told `store: false`"
            )
            raise RefusedRequest(place, told, UNSUPPORTED)
        else:
            self.dropped.append(f"{place}:{kind}")

    def _assistant(self) -> dict[str, Any]:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self.messages.append(self._turn)
        return self._turn

    def _message(self, item: dict[str, Any], place: str) -> None:
        role = _ROLES.get(str(item.get("role")))
        if role is None:
            raise RefusedRequest(
                f"{place}.role", f"{place}.role is not one of user, assistant, system and developer; use one of these"
            )
        content = _content(item.get("content"), f"{place}.content")
        if role == "assistant":
            turn = self._assistant()
            text = content if isinstance(content, str) else _texts(content)
            turn["content"] = f"{turn['content']}{SEPARATOR}{text}" if turn["content"] else text
            return
        self._turn = None
        if role == "system" and not isinstance(content, str):
            raise RefusedRequest(f"{place}.content", f"{place}.content holds more than text; only text can stand here")
        self.messages.append({"role": role, "content": content})

    def _reasoning(self, item: dict[str, Any]) -> None:
        texts = [
            part["text"]
            for key in ("content", "summary")
            for part in (item.get(key) if isinstance(item.get(key), list) else None) or ()
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        if texts:
            turn = self._assistant()
            before = turn.get("reasoning_content")
            turn["reasoning_content"] = SEPARATOR.join([before, *texts] if before else texts)

    def _call(self, item: dict[str, Any], kind: str, place: str) -> None:
        identity, name = item.get("call_id"), item.get("name")
        if not isinstance(identity, str) or not isinstance(name, str) or not identity or not name:
            raise RefusedRequest(place, f"{place} lacks call_id or name; send the item as it was answered")
        if kind == "custom_tool_call":
            arguments = dumps({INPUT: str(item.get("input") or "")}).decode()
        else:
            arguments = str(item.get("arguments") or "{}")
        function = {"name": self._tools.function_of(name, item.get("namespace")), "arguments": arguments}
        own, seal = opened_id(identity)
        call = with_seal({"id": own, "type": "function", "function": function}, seal)
        self._assistant().setdefault("tool_calls", []).append(call)
        self.sealed = self.sealed or bool(seal)

    def _output(self, item: dict[str, Any], place: str) -> None:
        identity, output = item.get("call_id"), item.get("output")
        if not isinstance(identity, str) or not identity:
            raise RefusedRequest(
                f"{place}.call_id", f"{place}.call_id is missing; name the call that this is the result of"
            )
        self._turn = None
        content = output if isinstance(output, str) else _content(output, f"{place}.output")
        if not isinstance(content, str):
            self._pictures += [part for part in content if part["type"] != "text"]
            content = SEPARATOR.join(part.get("text") or f"[{part['type']}]" for part in content)
        self.messages.append({"role": "tool", "tool_call_id": opened_id(identity)[0], "content": content})

    def _flush_pictures(self) -> None:
        if self._pictures:
            self.messages.append({"role": "user", "content": self._pictures})
            self._pictures = []

    def _forget_old_thoughts(self) -> None:
        """Thinking belongs to the turn that still runs: no model reads that of earlier ones."""
        last = max((n for n, message in enumerate(self.messages) if message["role"] == "user"), default=-1)
        for message in self.messages[: max(last, 0)]:
            message.pop("reasoning_content", None)


def _content(given: Any, place: str) -> Any:
    """Returns the content of a message: a text, or parts of which one at least is none."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise RefusedRequest(place, f"{place} is neither a text nor a list of parts; send one of these")
    return plain([_part(part, f"{place}[{number}]") for number, part in enumerate(given)])


def _part(part: Any, place: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"]}
        if isinstance(part.get("detail"), str):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        name = part.get("filename")
        held = {"filename": name if isinstance(name, str) else "file", "file_data": part["file_data"]}
        return {"type": "file", "file": held}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if kind in ("input_image", "input_file"):
        told = f"{place} names a file that this router does not have; send it in image_url or file_data"
        raise RefusedRequest(place, told, UNSUPPORTED)
    raise RefusedRequest(
        place, f"{place} is of the type {str(kind)[:64]}, which no message holds; send text, an image or a file"
    )


def _texts(parts: list[dict[str, Any]]) -> str:
    return SEPARATOR.join(part["text"] for part in parts if part["type"] == "text")
