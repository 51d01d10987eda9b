"""A purse is what one request may spend: it reserves for each attempt at a cloud, and settles when that has ended. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from genset.pricing.used import Used
from genset.router.backends.backend import Backend
from genset.router.budgets.budget import HOUSE_ONLY, REFUSE, Budget, BudgetRoom
from genset.router.budgets.counts import WindowCounts
from genset.router.budgets.refusal import refusal
from genset.router.budgets.usual import Usual
from genset.router.errors import ErrorAnswer

#: More than that is no usage of one request, whatever its server tells: it counts as not known.
PROMPT_BEYOND_BODY: Final = (
    2_000_000  # tokens: pictures and files that a body only names; a token has at least one byte
)
MOST_MADE: Final = 1_000_000  # tokens of each choice
MOST_COST: Final = 100 * 10**12  # of one attempt, as a provider tells it itself, in USD


@final
class Permission:
    """A permission is what a purse says of one backend: it may be asked, the next one is, or nobody."""

    ASK: Final = 0
    PASS: Final = 1
    REFUSE: Final = 2


@final
class Expectation:
    """An expectation is what a request needs: tokens of its prompt, its limit of the answer (0: none), how many answers.

    `size` is that of its body in bytes. `chats`: it is answered by text, token by token.
    """

    __slots__ = ("chats", "choices", "most", "prompt", "size")

    def __init__(self, prompt: int, most: int, choices: int, size: int, *, chats: bool) -> None:
        self.prompt = prompt
        self.most = most
        self.choices = max(1, choices)
        self.size = size
        self.chats = chats

    def answer(self, usual: int) -> int:
        """Returns for how many tokens of answer is reserved: the request's limit, or what answers usually have if that is less.

        So whoever asks for a huge limit keeps nothing from others that its answer will not need.
        """
        each = min(self.most, usual) if self.most else usual
        return each * self.choices if self.chats else 0

    def doubts(self, used: Used) -> bool:
        """Returns whether a server tells a usage that cannot be."""
        return (
            used.prompt > self.size + PROMPT_BEYOND_BODY
            or used.completion > MOST_MADE * self.choices
            or (used.cost is not None and used.cost > MOST_COST)
        )


Booked = tuple[tuple[str, int], ...]  # names of budgets, and when their windows begin


@final
class Purse:
    """A purse belongs to one request, and to the budgets that hold its route and its consumer.

    `barred` says why backends may not be asked: the first budget by each backend's name.
    """

    __slots__ = ("_ask", "_budgets", "_held", "_usual", "_wall", "_want", "barred", "payer", "waits")

    def __init__(
        self,
        budgets: Sequence[Budget],
        payer: str,
        ask: Expectation,
        usual: Callable[[str], Usual],
        wall: Callable[[], float],
    ) -> None:
        self._budgets = budgets
        self._ask = ask
        self._usual = usual
        self._wall = wall
        self._held: list[tuple[Budget, WindowCounts]] | None = None  # reserved for the running attempt
        self._want = 0  # how much, of each of these
        self.payer = payer
        self.barred: dict[str, Budget] = {}
        self.waits = False  # there may be room in a moment: what is left is reserved

    def verdict(self, backend: Backend, now: float) -> int:
        """Returns whether this backend may be asked now. The house always may."""
        if backend.local:
            return Permission.ASK
        want, wall, usual = self.want(backend), self._wall(), self._usual(backend.name)
        known = self.barred.get(backend.name)
        for budget in self._budgets:
            budget.move(wall)
            terms = budget.terms
            if terms.covers(backend.name):
                if not _counts(budget, backend):
                    continue
                fit = budget.fits(want, self.payer, now, unknown=not usual.learned)
                if fit == BudgetRoom.YES and (want or not budget.is_spent or self._is_free(backend)):
                    continue
                self.waits = self.waits or fit == BudgetRoom.RESERVED
                if fit == BudgetRoom.SPENT:
                    budget.falls_short(min(want, usual.cost))
            elif terms.when_spent != HOUSE_ONLY or not (budget.is_spent or budget in self.barred.values()):
                continue
            if known is None:
                self.barred[backend.name] = budget
                budget.refuse()
            return Permission.REFUSE if terms.when_spent == REFUSE else Permission.PASS
        return Permission.ASK

    def refusal(self) -> ErrorAnswer:
        """Returns the error for a request that is kept from every backend."""
        backend, budget = next(iter(self.barred.items()))
        return refusal(backend, budget, self._wall(), waits=self.waits)

    def want(self, backend: Backend) -> int:
        """Returns about how much an attempt at this backend costs; 0 if nobody knows."""
        usual, price = self._usual(backend.name), backend.target.price
        if price is None:
            return usual.cost
        cost = price.cost(Used(self._ask.prompt + usual.more, self._ask.answer(usual.tokens)), answered=True)
        if cost is None or not self._ask.chats:
            return max(cost or 0, usual.cost)
        return cost

    def _is_free(self, backend: Backend) -> bool:
        """Returns whether it is known that the request costs nothing there."""
        price = backend.target.price
        return price is not None and price.cost(Used(self._ask.prompt, 1), answered=True) == 0

    def reserve(self, backend: Backend) -> None:
        """An attempt at this backend begins."""
        self.release()
        if backend.local:
            return
        held = [(one, one.counts) for one in self._budgets if one.terms.covers(backend.name)]
        if not held:
            return
        self._held, self._want = held, self.want(backend)
        for budget, _ in held:
            budget.reserve(self._want, self.payer)

    def grew(self, backend: Backend, made: int) -> None:
        """The running answer has so many tokens: more is reserved if it is longer than was thought."""
        held, price = self._held, backend.target.price
        if held is None or price is None or not made:
            return
        cost = price.cost(Used(self._ask.prompt, made + made // 4), answered=True)
        if cost is None or cost <= self._want:
            return
        for budget, _ in held:
            budget.reserve(cost - self._want, self.payer)
        self._want = cost

    def doubts(self, used: Used) -> bool:
        return self._ask.doubts(used)

    def settle(self, backend: Backend, used: Used, cost: int | None, currency: str, *, answered: bool) -> Booked:
        """The running attempt has ended, has used and cost so much. Returns where that was booked."""
        held = self._held
        if held is None:
            return ()
        self.release()
        booked: list[tuple[str, int]] = []
        for budget, counts in held:
            if cost is None:
                budget.miss()
            elif cost and currency == budget.terms.currency:
                counts.add(cost)
                booked.append((budget.terms.name, counts.begin))
        if answered and cost is not None:
            more = used.prompt - self._ask.prompt
            self._usual(backend.name).learn(used.completion // self._ask.choices, more, cost)
        return tuple(booked)

    def release(self) -> None:
        """Gives back what is reserved: the attempt has ended, or was never made."""
        held, want = self._held, self._want
        if held is None:
            return
        self._held, self._want = None, 0
        for budget, _ in held:
            budget.release(want, self.payer)


def _counts(budget: Budget, backend: Backend) -> bool:
    """Returns whether a budget has to do with what this backend costs: not if that is in another currency."""
    price = backend.target.price
    return price is None or price.currency == budget.terms.currency or backend.target.provider.tells_cost
