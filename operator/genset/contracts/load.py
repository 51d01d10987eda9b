"""The load of a router is what the operator asks once in a while (`/-/load`): what routes give, and how fast backends write.

Reading is tolerant: what is absent or of another type counts as not told. See docs/adr/0012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from genset.contracts.reading import count, duration, parsed

LOAD_PATH: Final = "/-/load"


@dataclass(frozen=True)
class BackendLoad:
    """This is how fast a backend writes: tokens a second of one answer, on average over so many answers."""

    answers: int
    tokens_per_second: float


@dataclass(frozen=True)
class LoadReport:
    """A report looks back `seconds`, at most an hour. `routes`: tokens a second of all their answers together."""

    seconds: float = 0.0
    routes: Mapping[str, float] = field(default_factory=dict)
    backends: Mapping[str, BackendLoad] = field(default_factory=dict)

    def to_json(self) -> bytes:
        backends = {
            name: {"answers": one.answers, "tokensPerSecond": round(one.tokens_per_second, 3)}
            for name, one in self.backends.items()
        }
        routes = {name: round(tokens, 3) for name, tokens in self.routes.items()}
        return orjson.dumps({"seconds": round(self.seconds, 1), "routes": routes, "backends": backends})

    @classmethod
    def from_json(cls, body: bytes) -> LoadReport:
        """Reads a report; an empty one of anything else."""
        document = parsed(body)
        routes, backends = document.get("routes"), document.get("backends")
        return cls(
            duration(document.get("seconds")) or 0.0,
            {name: duration(value) or 0.0 for name, value in routes.items()} if isinstance(routes, dict) else {},
            {
                name: BackendLoad(count(one.get("answers")), duration(one.get("tokensPerSecond")) or 0.0)
                for name, one in (backends if isinstance(backends, dict) else {}).items()
                if isinstance(one, dict)
            },
        )
