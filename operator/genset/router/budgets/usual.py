"""What answers usually are is learned by backend, so that a reservation is no larger than most answers turn out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from genset.pricing.money import MOST

FIRST_TOKENS: Final = 1024  # that an answer is thought to have before any has come
MOST_MORE: Final = 4096  # tokens of a prompt beyond the router's estimate: templates, pictures
_UP: Final = 2  # a longer answer counts by half at once,
_DOWN: Final = 32  # a shorter one by little: the estimate is above nineteen of twenty answers


@final
class Usual:
    """Usual is what an answer of one backend has and costs: tokens, `more` tokens of the prompt than the router estimates, and
    money as `pricing.money` counts it. `learned`: an answer has come.
    """

    __slots__ = ("cost", "learned", "more", "tokens")

    def __init__(self) -> None:
        self.tokens = FIRST_TOKENS
        self.more = 0
        self.cost = 0
        self.learned = False

    def learn(self, tokens: int, more: int, cost: int) -> None:
        """Takes an answer that was whole."""
        tokens, more = max(1, tokens), max(0, min(MOST_MORE, more))
        if not self.learned:
            self.learned = True
            self.tokens, self.more, self.cost = tokens, more, cost
            return
        self.tokens = _moved(self.tokens, tokens)
        self.more = _moved(self.more, more)
        self.cost = _moved(self.cost, cost)

    def told(self) -> tuple[int, int, int]:
        """Returns what was learned, for the next life of this router."""
        return self.tokens, self.more, self.cost

    def remember(self, told: Sequence[Any]) -> None:
        """Takes what an earlier life has told; nothing if that is something else."""
        if len(told) == 3 and all(type(one) is int and 0 <= one <= MOST for one in told):
            self.tokens, self.more, self.cost = max(1, told[0]), min(MOST_MORE, told[1]), told[2]
            self.learned = True


def _moved(estimate: int, value: int) -> int:
    more = value - estimate
    if more > 0:
        return estimate + (more + 1) // _UP
    return estimate - (_DOWN - 1 - more) // _DOWN if more else estimate
