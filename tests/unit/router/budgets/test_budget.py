"""One budget: who fits, what is reserved and given back, whose part it keeps to, and where its windows end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genset.contracts.budget_config import BudgetConfig
from genset.pricing.money import UNIT
from genset.router.budgets.budget import Budget, BudgetRoom, Terms
from genset.router.budgets.payers import CONTENDED_SECONDS
from tests.support.router.budgets import budget as told

BEGIN = 1_793_491_200  # 2026-11-01 in UTC
DAY = 86_400
YES, RESERVED, SPENT = BudgetRoom.YES, BudgetRoom.RESERVED, BudgetRoom.SPENT


def made(amount: str = "10", **more: Any) -> Budget:
    return Budget(Terms(BudgetConfig.model_validate(told(amount, **more))), BEGIN)


#: Spent, reserved, wanted -> what is said of it; the budget has 10.
FITS = [
    (0, 0, 5, YES),
    (0, 0, 10, YES),
    (0, 0, 11, YES),  # the first one, whatever it costs
    (0, 1, 11, RESERVED),
    (1, 0, 11, SPENT),
    (1, 0, 9, YES),
    (1, 0, 10, SPENT),
    (5, 3, 2, YES),
    (5, 3, 3, RESERVED),
    (10, 0, 1, SPENT),
    (12, 0, 1, SPENT),
    (12, 0, 0, YES),  # what costs nothing always may
]


@pytest.mark.parametrize(("spent", "held", "want", "said"), FITS)
def test_who_fits(spent: int, held: int, want: int, said: int) -> None:
    budget = made()
    budget.counts.add(spent * UNIT)
    budget.reserve(held * UNIT, "others")
    assert budget.fits(want * UNIT, "me", 0.0) == said


def test_what_others_have_reserved_counts_like_ones_own() -> None:
    budget = made()
    budget.reserved_elsewhere(8 * UNIT)
    assert (budget.fits(2 * UNIT, "me", 0.0), budget.fits(3 * UNIT, "me", 0.0)) == (YES, RESERVED)


def test_while_nobody_knows_what_answers_cost_one_at_a_time_may() -> None:
    budget = made()
    budget.counts.add(9 * UNIT)
    assert budget.fits(5 * UNIT, "me", 0.0) == SPENT and budget.fits(5 * UNIT, "me", 0.0, unknown=True) == YES
    budget.reserve(5 * UNIT, "me")
    assert budget.fits(5 * UNIT, "you", 0.0, unknown=True) == RESERVED
    budget.release(5 * UNIT, "me")
    budget.counts.add(UNIT)
    assert budget.fits(5 * UNIT, "me", 0.0, unknown=True) == SPENT


def test_no_caller_holds_more_than_half_while_others_ask() -> None:
    budget = made()
    for _ in range(9):
        assert budget.fits(UNIT, "greedy", 1.0) == YES
        budget.reserve(UNIT, "greedy")
    budget.release(9 * UNIT, "greedy")
    assert budget.fits(UNIT, "other", 2.0) == YES  # now there are two
    held = 0
    while budget.fits(UNIT, "greedy", 3.0) == YES:
        budget.reserve(UNIT, "greedy")
        held += 1
    assert held == 5 and budget.fits(UNIT, "other", 4.0) == YES
    assert budget.fits(5 * UNIT, "third", 4.0) == YES, "one alone may be as large as what is left"
    for at in range(5, 8):
        budget.fits(UNIT, "greedy", at)
    assert budget.fits(UNIT, "greedy", 4 + CONTENDED_SECONDS + 1) == YES, "nobody else has come for a minute"


def test_it_is_short_if_less_is_left_than_requests_usually_cost() -> None:
    budget = made()
    budget.counts.add(9 * UNIT)
    budget.falls_short(UNIT // 2)
    assert not budget.is_spent, "one that was refused was larger than others"
    budget.falls_short(2 * UNIT)
    assert budget.is_spent
    budget.take(Terms(BudgetConfig.model_validate(told("20"))), BEGIN, 1)
    assert not budget.is_spent and budget.percent == 45


def test_until_others_are_heard_again_a_router_spends_its_part_of_what_was_left() -> None:
    budget = Budget(made().terms, BEGIN, routers=3)
    budget.counts.hear("other", 4 * UNIT)
    budget.heard(3)  # six are left, of which two are this router's
    assert budget.fits(5 * UNIT, "me", 0.0) == YES, "one request may be larger than the part"
    for _ in range(2):
        assert budget.fits(UNIT, "me", 0.0) == YES
        budget.reserve(UNIT, "me")
        budget.release(UNIT, "me")
        budget.counts.add(UNIT)
    assert budget.fits(UNIT, "me", 0.0) == RESERVED
    budget.heard(3)
    assert budget.fits(UNIT, "me", 0.0) == YES
    budget.counts.add(UNIT)
    assert (budget.fits(UNIT // 3, "me", 0.0), budget.fits(UNIT, "me", 0.0)) == (YES, RESERVED)
    budget.heard(1)
    assert budget.fits(3 * UNIT, "me", 0.0) == YES


def test_a_reservation_that_is_given_back_may_be_taken_again() -> None:
    budget = Budget(made().terms, BEGIN, routers=2)
    for _ in range(5):
        assert budget.fits(4 * UNIT, "me", 0.0) == YES
        budget.reserve(4 * UNIT, "me")
        assert budget.fits(2 * UNIT, "me", 0.0) == RESERVED
        budget.release(4 * UNIT, "me")


def test_a_window_ends_and_a_clock_that_was_wrong_comes_back() -> None:
    budget = made(window="Day")
    budget.counts.add(7 * UNIT)
    early = budget.counts
    budget.move(BEGIN + DAY - 1)
    assert budget.counts is early
    budget.move(BEGIN + DAY)  # BerriAI/litellm#40020: a sum that never began anew
    assert budget.counts.total == 0 and budget.left == 10 * UNIT
    early.add(UNIT)  # an answer that was under way at midnight counts where it began
    assert budget.counts.total == 0
    budget.move(BEGIN + 400 * DAY)  # the clock jumps by a year, and back
    budget.move(BEGIN + 100)
    assert budget.counts.total == 8 * UNIT


def test_scopes() -> None:
    everything = Terms(BudgetConfig.model_validate(told("1")))
    assert everything.holds("", "", "") and everything.covers("any")
    narrow = Terms(BudgetConfig.model_validate(told("1", routes=["a"], teams=["t"], consumers=["c"], backends=["b"])))
    assert narrow.holds("a", "c", "t") and narrow.covers("b") and not narrow.covers("x")
    assert not any(narrow.holds(*one) for one in (("x", "c", "t"), ("a", "x", "t"), ("a", "c", "x"), ("a", "c", "")))


class Requests(RuleBasedStateMachine):
    """Requests come and go in any order: the budget is overrun by no more than answers cost beyond what was reserved."""

    @initialize(amount=st.integers(1, 50))
    def begin(self, amount: int) -> None:
        self.budget = made(str(amount))
        self.running: list[tuple[int, str]] = []
        self.excess = 0
        self.first = 0

    @rule(want=st.integers(0, 20), payer=st.sampled_from(["a", "b", "c"]), at=st.integers(0, 200))
    def ask(self, want: int, payer: str, at: int) -> None:
        fit = self.budget.fits(want * UNIT, payer, float(at))
        if fit == YES:
            held = self.budget.reserved
            if want * UNIT > self.budget.left - held and want:
                assert not held and not self.budget.counts.total
                self.first = max(self.first, want * UNIT - self.budget.left)
            self.budget.reserve(want * UNIT, payer)
            self.running.append((want * UNIT, payer))

    @rule(which=st.integers(0, 100), costs=st.integers(0, 30))
    def end(self, which: int, costs: int) -> None:
        if self.running:
            held, payer = self.running.pop(which % len(self.running))
            self.budget.release(held, payer)
            self.budget.counts.add(costs * UNIT)
            self.excess += max(0, costs * UNIT - held)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.reserved == sum(held for held, _ in self.running)
            assert (
                self.budget.counts.total + self.budget.reserved <= self.budget.terms.amount + self.excess + self.first
            )


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
