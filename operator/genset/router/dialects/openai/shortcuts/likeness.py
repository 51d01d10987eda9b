"""Follows how far one stream is like what came before it: then its events are known without a parse. Pure."""

from __future__ import annotations

from typing import final

from genset.router.dialects.openai.shortcuts.frame import Framed
from genset.router.dialects.openai.shortcuts.frames import LEARNED_EVENTS, Frames


@final
class Likeness:
    """A Likeness knows how far one answer is like earlier ones of its backend, and how far its events are like one another.

    `framed`: the answer in the frame of the earlier ones, as long as every event is as the frame has it; None otherwise.
    `shortcuts`: whether anything may be read without a parse; if not, no answer has a frame, and no event a template.
    """

    __slots__ = ("_begun", "_frames", "_sample", "_unlike", "framed", "shortcuts")

    def __init__(self, frames: Frames | None, shortcuts: bool) -> None:
        self._frames = frames if shortcuts else None
        self._begun = False
        self._sample: list[bytes] | None = None  # events from which a frame may be learned
        self._unlike = 0  # events that were not like the template, since the last that was
        self.framed: Framed | None = None
        self.shortcuts = shortcuts

    def begins(self, event: bytes) -> bool:
        """Returns whether an event is the first of its answer, and opens it as earlier ones were opened. Then `framed` is set."""
        if self._begun:
            if self._sample is not None:
                self._add(event)
            return False
        self._begun = True
        if self._frames is None:
            return False
        self.framed = self._frames.begin(event)
        if self.framed is not None:
            return True
        if self._frames.curious:
            self._frames.curious = False
            self._sample = [event]
        return False

    def leave(self) -> None:
        """Takes note that the answer is unlike earlier ones after all."""
        self.framed = None
        if self._frames is not None:
            self._frames.unlike()

    def complete(self) -> None:
        """Takes note that the answer was like earlier ones to its end."""
        if self._frames is not None:
            self._frames.alike()

    def learn(self, answer: bytes) -> None:
        """Teaches the backend's frame from this good answer, if it wants to be taught.

        `answer`: the whole answer; b"" if none was put together.
        """
        if self._sample is not None and self._frames is not None:
            self._frames.learn(self._sample, answer)

    def is_due(self) -> bool:
        """Returns whether to learn a template from the event that comes now: ever more rarely, as long as none was of use."""
        self._unlike += 1
        return self.shortcuts and self._unlike & (self._unlike - 1) == 0

    def helped(self) -> None:
        """Takes note that the template was of use: events were like it."""
        self._unlike = 0

    def _add(self, event: bytes) -> None:
        if self._sample is not None:
            self._sample.append(event)
            if len(self._sample) > LEARNED_EVENTS:
                self._sample = None  # longer than a frame
