"""A bearer is who a token says that asks; who proves that is a prover, which only policies with an identity provider load."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from genset.router.errors import ErrorAnswer


class Bearer(NamedTuple):
    """A bearer has the name and the team that a token says. `until`: seconds since 1970."""

    name: str
    team: str
    until: float


class Prover(Protocol):
    """A prover is `tokens.Tokens`."""

    def bearer(self, token: bytes) -> Bearer | ErrorAnswer:
        """Returns who a token says that asks, or the error for one that is not believed."""


def is_token(key: bytes) -> bool:
    """Returns whether a key that a request shows is a token: three parts of base64, the first of which is JSON."""
    return key.startswith(b"ey") and key.count(b".") == 2
