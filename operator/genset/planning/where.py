"""Where models are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from genset.contracts.sources import PUBLIC_HUB


@dataclass(frozen=True)
class Where:
    """Where models are looked for: the hub's base URL, "" for the public one, and the token for it."""

    endpoint: str = ""
    token: str = ""

    def token_for(self, endpoint: str) -> str:
        """Returns the token if it is for that hub: it never goes to another one, whatever a file names."""
        return self.token if endpoint == (self.endpoint or PUBLIC_HUB) else ""
