"""A tape carries a server's own events past OpenAI's form, to a client that speaks the server's API. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, final

#: The key of a chunk that says up to which event of the tape it goes.
NUMBER: Final = "native"
#: The key of a delta for a part of an answer that OpenAI's form has nothing like: it counts, and nobody writes on from it.
BEYOND: Final = "native_part"


class Folder(ABC):
    """A folder puts a whole answer together from the events of a stream, for a client that asked for no stream."""

    @abstractmethod
    def add(self, said: dict[str, Any]) -> None:
        """Takes the next event."""

    @abstractmethod
    def whole(self) -> dict[str, Any] | None:
        """Returns the whole answer; None if the events do not make one."""


@final
class Tape:
    """A tape holds the events of one attempt as its server sent them, until they go on to the client."""

    __slots__ = ("_events", "_first", "_folder", "_whole")

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._first = 1  # number of the first event that is held
        self._folder: Folder | None = None
        self._whole: dict[str, Any] | None = None

    def fold_into(self, folder: Folder) -> None:
        """From here on events are put together, and not held."""
        self._folder = folder

    def record(self, event: bytes, said: dict[str, Any]) -> int:
        """Takes the next event, of which `said` is the JSON, and returns its number."""
        if self._folder is not None:
            self._folder.add(said)
            return 0
        self._events.append(event)
        return self._first + len(self._events) - 1

    def until(self, number: int) -> list[bytes]:
        """Returns the events up to a number that nobody has taken so far."""
        count = max(0, number - self._first + 1)
        taken, self._events = self._events[:count], self._events[count:]
        self._first += len(taken)
        return taken

    def rest(self) -> list[bytes]:
        """Returns all events that nobody has taken."""
        return self.until(self._first + len(self._events))

    def keep_whole(self, answer: dict[str, Any]) -> None:
        """Takes a whole answer that came in one piece."""
        self._whole = answer

    def whole(self) -> dict[str, Any] | None:
        """Returns the whole answer; None if the server sent none in its own API."""
        if self._whole is None and self._folder is not None:
            return self._folder.whole()
        return self._whole
