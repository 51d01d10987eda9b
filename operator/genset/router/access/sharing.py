"""Routers share the limits of consumers: each tells the others twice a second what it claims, and takes a part of what is left.

A claim is what was used in the last minute, or is in work, and what may still be until the next exchange: so no limit is
exceeded, wherever the load comes. Little is left over, because what one has not taken is divided anew. Whoever is not heard
counts as claiming its share, so that routers that do not reach each other keep to theirs. Pure.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Final, final

import orjson

from genset.router.access.consumer import Consumer
from genset.router.budgets.budget_book import FRESH_SECONDS, BudgetBook

EXCHANGE_SECONDS: Final = 0.5
HEARD_SECONDS: Final = 3.5  # for which what another router has told counts
MOST_ROUTERS: Final = 100  # that are remembered
NONCE_CHARACTERS: Final = 64

NOTHING: Final = (0, 0)
#: What is claimed and what is needed, of requests, of tokens and of places, by consumer.
Claims = Mapping[str, tuple[tuple[int, int], ...]]
_NONE: Final = (NOTHING, NOTHING, NOTHING)


@final
class Sharing:
    """A sharing is what one router knows of the others. `token` proves what they tell; `identity` names this one.

    The token goes over no wire: what is told is signed with it, together with a number of the one who asks.
    """

    __slots__ = ("_budgets", "_heard", "_routers", "_token", "identity")

    def __init__(self, identity: str, token: bytes, routers: int) -> None:
        self.identity = identity
        self._token = token
        self._routers = routers
        self._heard: dict[str, tuple[float, Claims]] = {}
        self._budgets: BudgetBook | None = None

    def resize(self, routers: int) -> None:
        """Takes how many routers there should be."""
        self._routers = routers

    def spend_by(self, budgets: BudgetBook | None) -> None:
        """Shares what was spent of these budgets, too."""
        self._budgets = budgets

    def tell(self, consumers: Iterable[Consumer], nonce: bytes, now: float) -> bytes:
        """Returns what this router tells whoever asks with this nonce."""
        claims = {
            consumer.name: [
                (limit.claimed(now), limit.demand) if limit is not None and limit.limit is not None else NOTHING
                for limit in (consumer.requests, consumer.tokens, consumer.places)
            ]
            for consumer in consumers
        }
        spent = self._budgets.tell() if self._budgets is not None else []
        told = orjson.dumps({"router": self.identity, "claims": claims, "budgets": spent}).decode()
        return orjson.dumps({"told": told, "proof": self._proof(nonce, told.encode())})

    def hear(self, answer: bytes, nonce: bytes, now: float) -> bool:
        """Takes what another router has told. Returns whether it was one, and not this router itself or somebody else."""
        try:
            document = orjson.loads(answer)
            told, proof = document["told"], document["proof"]
            if not hmac.compare_digest(self._proof(nonce, told.encode()), proof):
                return False
            found = orjson.loads(told)
            claims: Claims = {
                str(name): (_pair(one), _pair(two), _pair(three)) for name, (one, two, three) in found["claims"].items()
            }
            router = str(found["router"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if router == self.identity or (router not in self._heard and len(self._heard) >= MOST_ROUTERS):
            return False
        self._heard[router] = now, claims
        if self._budgets is not None:
            self._budgets.hear_all(found.get("budgets"), router)
        return True

    def settle(self, consumers: Iterable[Consumer], now: float) -> int:
        """Divides anew what is left of each limit. Returns how many other routers were heard."""
        for router in [name for name, (at, _) in self._heard.items() if now - at > HEARD_SECONDS]:
            del self._heard[router]
        heard = {router: claims for router, (_, claims) in self._heard.items()}
        if self._budgets is not None:
            self._budgets.settle(sum(now - at < FRESH_SECONDS for at, _ in self._heard.values()))
        silent = max(0, self._routers - 1 - len(heard))
        place = sorted((*heard, self.identity)).index(self.identity)
        for consumer in consumers:
            if not heard:
                consumer.alone()
                continue
            for index, limit in enumerate((consumer.requests, consumer.tokens, consumer.places)):
                if limit is None:
                    continue
                told = [claims.get(consumer.name, _NONE)[index] for claims in heard.values()]
                elsewhere = sum(claimed for claimed, _ in told) + silent * limit.share
                turn = int(now) % (len(heard) + 1) == place
                limit.divide(elsewhere, [needed for _, needed in told], turn, now)
        return len(heard)

    def _proof(self, nonce: bytes, told: bytes) -> str:
        return hmac.digest(self._token, nonce + b"\n" + told, "sha256").hex()


def _pair(value: list[int]) -> tuple[int, int]:
    claimed, needed = value
    return max(0, int(claimed)), max(0, int(needed))
