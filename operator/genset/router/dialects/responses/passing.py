"""Follows a response that its own server tells to the client, so that another server can write on in it. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.native import data_in
from genset.router.dialects.tape import Tape
from genset.router.dialects.tolerant import dumps, loads

#: What a response says of itself that stays as it is, whoever ends it.
_ENDS: Final = frozenset(("status", "output", "usage", "error", "incomplete_details", "completed_at", "model"))
_CREATED: Final = b"event: response.created\n"
_ADDED: Final = b"event: response.output_item.added\n"
_DONE: Final = b"event: response.output_item.done\n"
_PART: Final = b"event: response.content_part.added\n"
_HOLDS_RESPONSE: Final = (
    _CREATED, b"event: response.in_progress\n", b"event: response.completed\n", b"event: response.incomplete\n",
)  # fmt: skip


@final
class Passing:
    """A passing is that of one answer. `tape` is that of the running attempt; None if its events are written anew.

    `begun`: the client has events of such a server. `items` are those that are whole. `open` is the item that is not, and
    `writable`: it is a message with one part of text, in which another server may go on.
    """

    __slots__ = ("_last", "_response", "begun", "items", "open", "tape", "writable")

    def __init__(self) -> None:
        self.tape: Tape | None = None
        self.begun = False
        self.items: list[dict[str, Any]] = []
        self.open: dict[str, Any] | None = None
        self.writable = True
        self._response: dict[str, Any] = {}
        self._last = b""

    def take(self, events: list[bytes], out: list[bytes], model: str) -> None:
        """Passes events on. `model`: the name that they tell in place of the server's; "" for the server's."""
        for raw in events:
            self.begun = True
            self._last = raw
            if raw.startswith(_CREATED):
                held = loads(data_in(raw)).get("response")
                self._response = held if isinstance(held, dict) else {}
            elif raw.startswith(_ADDED):
                item = loads(data_in(raw)).get("item")
                self.open = item if isinstance(item, dict) else {}
                self.writable = False
            elif raw.startswith(_PART):
                said = loads(data_in(raw))
                kind = (said.get("part") or {}).get("type")
                self.writable = not said.get("content_index") and kind == "output_text"
            elif raw.startswith(_DONE):
                item = loads(data_in(raw)).get("item")
                self.items.append(item if isinstance(item, dict) else {})
                self.open = None
                self.writable = True
            out.append(_renamed(raw, model) if model and raw.startswith(_HOLDS_RESPONSE) else raw)

    def number(self) -> int:
        """Returns the number of the last event that the client has."""
        said = loads(data_in(self._last)).get("sequence_number") if self._last else None
        return said if isinstance(said, int) else len(self.items)

    def response(self) -> dict[str, Any]:
        """Returns what the response says of itself besides its end."""
        return {key: value for key, value in self._response.items() if key not in _ENDS}


def _renamed(raw: bytes, model: str) -> bytes:
    said = loads(data_in(raw))
    if isinstance(said.get("response"), dict):
        said["response"]["model"] = model
    return raw.partition(b"\n")[0] + b"\ndata: " + dumps(said) + b"\n\n"
