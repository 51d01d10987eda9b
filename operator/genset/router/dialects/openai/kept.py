"""Keeps events of a stream as bytes: those that the client does not get yet, and those that it has got. Pure."""

from __future__ import annotations

from typing import Final, final

import orjson

from genset.router.dialects.openai.transcript import Transcript

FOLD_BYTES: Final = 16 * 1024  # of forwarded events kept as they are; then they become text, a twentieth of their size


@final
class Kept:
    """A Kept holds the events before the first token back, and keeps the later ones until somebody asks what they say.

    `held_size`, `size`: bytes of what is held back, and of what went on and is in no transcript yet. `pending`: what has been let
    through of the block that is being read; None between two blocks.
    """

    __slots__ = ("_blocks", "_held", "_transcript", "held_size", "pending", "size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self.held_size = 0
        self.pending: list[bytes] | None = None
        self._blocks: list[bytes] = []  # whole events that went on
        self.size = 0
        self._transcript: Transcript | None = None  # of most answers nobody asks for it

    def hold(self, event: bytes) -> None:
        """Takes an event that may go on later, with its blank line."""
        self._held.append(event)
        self.held_size += len(event)

    def release(self) -> bytes:
        """Returns the events that were held back, and forgets them."""
        held = b"".join(self._held)
        self._held.clear()
        self.held_size = 0
        return held

    def add(self, block: bytes) -> None:
        """Takes whole events that go on, each with its blank line."""
        self._blocks.append(block)
        self.size += len(block)

    def fold(self) -> Transcript:
        """Returns everything that went on, as text."""
        transcript = self._written()
        for block in self._blocks:
            transcript.add(block)
        self._forget()
        return transcript

    def let_go(self) -> None:
        """Forgets what went on; each block counts as a token."""
        self._written().count(len(self._blocks))
        self._forget()

    def finishes(self, *, texts_follow: bool) -> bool:
        """Returns whether the last event that went on holds a finish_reason, by an exact look at it.

        `texts_follow`: behind what is kept here came events that were like others, and those finished nothing.
        """
        block = b"".join(self.pending or ())
        if not block:
            if texts_follow:
                return False
            block = self._blocks[-1] if self._blocks else b""
        last = block.rstrip(b"\n").rsplit(b"\n\n", 1)[-1]
        if not last:
            return self._transcript is not None and self._transcript.finished
        try:
            return any(choice.get("finish_reason") for choice in orjson.loads(last[5:])["choices"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return False

    def _written(self) -> Transcript:
        if self._transcript is None:
            self._transcript = Transcript()
        return self._transcript

    def _forget(self) -> None:
        self._blocks.clear()
        self.size = 0
