"""A server's answers teach the router what the server refuses and how it writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import final

from genset.router.backends.retirement import Retirement, retirement
from genset.router.dialects.openai.shortcuts.frames import Frames


@final
class Learned:
    """Learned holds what is known of one server from its answers.

    `refused_fields` are fields that the router adds and the server refuses (`machine.added_fields`). `refuses_limits`:
    the server has refused a prompt and a max_tokens that exceed its context only together. `shortcuts`: its streams may
    be read with templates and with `frames`; these are kept by operation, and by whether the answer is rebuilt. `retirement`:
    what its last answer that said anything said of the end of its model.
    """

    __slots__ = ("frames", "refused_fields", "refuses_limits", "retirement", "shortcuts")

    def __init__(self, *, shortcuts: bool) -> None:
        self.refused_fields: dict[str, list[frozenset[str]]] = {}
        self.refuses_limits = False
        self.retirement: Retirement | None = None
        self.shortcuts = shortcuts
        self.frames: defaultdict[tuple[str, bool], Frames] = defaultdict(Frames)

    def ends(self, headers: Mapping[bytes, bytes]) -> None:
        """Takes the headers of an answer that has Sunset or Deprecation."""
        self.retirement = retirement(headers) or self.retirement

    def limit_refused(self) -> None:
        """Notes that the server has refused a max_tokens for which its context has no room."""
        self.refuses_limits = True
