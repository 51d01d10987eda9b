"""The adapter list says which adapters a running server is to have: the operator writes it, a container beside it follows.

It is a file of a ConfigMap that is mounted whole, so that a new list reaches a pod without making it new. The container tells in
turn what has become of the list, at a path of its own port.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from genset.contracts.reading import parsed, text

FILE: Final = "adapters.json"
FOLDER: Final = "/etc/genset/adapters"  # where it is mounted
REPORT_PATH: Final = "/-/adapters"  # of the container's HTTP server
_MOST_TOLD = 32  # adapters of which a report says what is wrong
_WORDS = 500  # characters of it


def written(adapters: Mapping[str, str]) -> str:
    """Writes the list: the folder of each adapter's files, by its name."""
    return json.dumps({"adapters": dict(adapters)}, sort_keys=True, separators=(",", ":"))


def mark(adapters: Mapping[str, str]) -> str:
    """Returns a short name of a list, by which both sides know that they speak of the same one."""
    return hashlib.sha256(written(adapters).encode()).hexdigest()[:16]


def read(document: str) -> dict[str, str]:
    """Reads a list. Raises ValueError if it is none; what else stands there is ignored."""
    told = json.loads(document)
    adapters = told.get("adapters") if isinstance(told, dict) else None
    if not isinstance(adapters, dict) or not all(isinstance(path, str) for path in adapters.values()):
        raise ValueError("no list of adapters: it wants an object `adapters` of names and paths")
    return adapters


@dataclass(frozen=True)
class AdapterReport:
    """A report says what has become of a list. `mark` is the list's, "" before the server has answered for the first time.

    `refused`: what the server has against an adapter, by its name. `waiting`: how many have no files yet.
    """

    mark: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0

    def to_json(self) -> bytes:
        told = {name: words[:_WORDS] for name, words in sorted(self.refused.items())[:_MOST_TOLD]}
        return json.dumps({"mark": self.mark, "refused": told, "waiting": self.waiting}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> AdapterReport | None:
        """Reads a report; None if it is none."""
        document = parsed(body)
        if not isinstance(document.get("mark"), str):
            return None
        told, waiting = document.get("refused"), document.get("waiting")
        pairs = list(told.items())[:_MOST_TOLD] if isinstance(told, dict) else []
        refused = {name: text(words)[:_WORDS] for name, words in pairs}
        return cls(document["mark"], refused, waiting if type(waiting) is int and waiting > 0 else 0)
