"""What a server's answers have taught of it: what it does not take, and how it writes."""

from __future__ import annotations

from collections import defaultdict
from typing import final

from genset.router.dialects.openai.shortcuts.frames import Frames


@final
class Learned:
    """`refused_fields` are those that the router adds and the server does not take (`machine.added_fields`).

    `refuses_limits`: it has said that prompt and max_tokens together are more than its context. `shortcuts`: its streams
    may be read with templates, and with `frames`: by operation, True for answers that are rebuilt.
    """

    __slots__ = ("frames", "refused_fields", "refuses_limits", "shortcuts")

    def __init__(self, *, shortcuts: bool) -> None:
        self.refused_fields: dict[str, list[frozenset[str]]] = {}
        self.refuses_limits = False
        self.shortcuts = shortcuts
        self.frames: defaultdict[tuple[str, bool], Frames] = defaultdict(Frames)

    def limit_refused(self) -> None:
        """The server has refused a limit of the answer for which it has no room."""
        self.refuses_limits = True
