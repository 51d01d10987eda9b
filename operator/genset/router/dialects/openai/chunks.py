"""Reads the events of an OpenAI stream one after the other, in whatever pieces its bytes come. Pure.

The readers that judge a stream pass most events on unread; whoever writes the same answer in another form reads each.
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.openai.event_buffer import EventBuffer
from genset.router.dialects.openai.events import data_of
from genset.router.dialects.tolerant import loads_exactly

_DONE: Final = b"[DONE]"


@final
class Chunks:
    """Chunks are the JSON objects of a stream. `done`: its [DONE] has come."""

    __slots__ = ("_buffer", "done")

    def __init__(self) -> None:
        self._buffer = EventBuffer()
        self.done = False

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Returns the objects that are whole now. What is no object is skipped: a stream with such an event has been refused."""
        found: list[dict[str, Any]] = []
        block = self._buffer.take(data)
        if not block:
            return found
        for event in block.split(b"\n\n"):
            payload = b"\n".join(data_of(event)).strip()
            if payload == _DONE:
                self.done = True
            elif payload[:1] == b"{":
                try:
                    value = loads_exactly(payload)
                except ValueError:
                    continue
                if isinstance(value, dict):
                    found.append(value)
        return found
