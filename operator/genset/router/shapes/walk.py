"""One pass over a request's messages finds what of a shape stands in them: turns, attachments, the state of a tool loop, and
where the texts are that are looked at later. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

#: The kind of a part of a message -> what it attaches.
_ATTACHED: Final = {
    "image_url": "images",
    "input_image": "images",
    "image": "images",
    "video_url": "images",
    "input_audio": "audio",
    "audio_url": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
}


@final
class Walked:
    """What the messages of a request hold. `asked` is the content of the user's last message, `earlier` that of the one before
    it, and `system` those of the system prompt: text, or parts of which some are text.
    """

    __slots__ = ("asked", "attached", "earlier", "looping", "system", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.looping = False  # nobody but tools has spoken since the model
        self.attached: dict[str, int] = {"images": 0, "audio": 0, "files": 0}
        self.asked: Any = None
        self.earlier: Any = None
        self.system: list[Any] = []

    def message(self, message: dict[str, Any]) -> None:
        role, content = message.get("role"), message.get("content")
        if type(content) is list:
            self._parts(content)
        if role == "user":
            self.turns += 1
            self.earlier, self.asked = self.asked, content
        elif role == "assistant":
            self.looping = False
        elif role == "tool" or role == "function":
            self.looping = True
        elif role == "system" or role == "developer":
            self.system.append(content)

    def _parts(self, content: list[Any]) -> None:
        for part in content:
            kind = part.get("type") if type(part) is dict else None
            if type(kind) is str and kind in _ATTACHED:
                self.attached[_ATTACHED[kind]] += 1


def walk(request: dict[str, Any]) -> Walked:
    """Walks over a request in OpenAI's form: a chat, a completion's `prompt`, or an `input`, of which the first text counts."""
    found = Walked()
    messages = request.get("messages")
    if type(messages) is list:
        for message in messages:
            if type(message) is dict:
                found.message(message)
        return found
    text = request["prompt"] if "prompt" in request else request.get("input", request.get("query"))
    if type(text) is list and text and type(text[0]) is str:
        text = text[0]
    if text is not None:
        found.turns, found.asked = 1, text
    return found


def tools_of(request: dict[str, Any]) -> int:
    """Returns how many tools a request offers."""
    offered = 0
    for name in ("tools", "functions"):
        value = request.get(name)
        if type(value) is list:
            offered += len(value)
    return offered


def is_forced(request: dict[str, Any]) -> bool:
    """Returns whether the model must call a tool."""
    choice = request.get("tool_choice", request.get("function_call"))
    if type(choice) is dict:
        held = choice.get("allowed_tools")
        mode = held.get("mode") if type(held) is dict else choice.get("mode")
        return choice.get("type") != "allowed_tools" or mode == "required"
    return choice == "required"
