"""What answers usually are is learned by backend, so that a reservation is no larger than most answers turn out. Pure."""

from __future__ import annotations

from typing import Final, final

FIRST_TOKENS: Final = 1024  # that an answer is thought to have before any has come
_UP: Final = 2  # a longer answer counts by half at once,
_DOWN: Final = 32  # a shorter one by little: the estimate is above nineteen of twenty answers


@final
class Usual:
    """Usual is what an answer of one backend has and costs: tokens, and money as `pricing.money` counts it."""

    __slots__ = ("_learned", "cost", "tokens")

    def __init__(self) -> None:
        self.tokens = FIRST_TOKENS
        self.cost = 0
        self._learned = False

    def learn(self, tokens: int, cost: int) -> None:
        """Takes an answer that was whole."""
        if not self._learned:
            self._learned = True
            self.tokens, self.cost = max(1, tokens), cost
            return
        self.tokens = _moved(self.tokens, max(1, tokens))
        self.cost = _moved(self.cost, cost)


def _moved(estimate: int, value: int) -> int:
    more = value - estimate
    if more > 0:
        return estimate + (more + 1) // _UP
    return estimate - (_DOWN - 1 - more) // _DOWN if more else estimate
