"""What one request reserves and settles, and which backends its purse lets it ask, whatever its attempts meet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.budget_config import BudgetsConfig
from genset.contracts.price_config import PriceConfig
from genset.contracts.route_config import ColdStartConfig, FailoverConfig
from genset.pricing.used import Used
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.budgets.budget_book import FRESH_SECONDS, BudgetBook
from genset.router.budgets.purse import MOST_COST, MOST_MADE, PROMPT_BEYOND_BODY, Expectation, Permission, Purse
from genset.router.budgets.usual import FIRST_TOKENS, Usual
from genset.router.machine.decisions import Answer, Candidate, Try
from genset.router.machine.facts import Facts
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.machine import RequestMachine
from testbed.router_config import made
from tests.support.router import machines
from tests.support.router.budgets import PRICE, budget

NOW = 1_793_500_000.0  # 2026-11-01
MILLIONTH = 10**6


def cloud(name: str = "cloud", provider: str = "openAICompatible", price: Any = PRICE) -> Backend:
    target = UrlTarget(base_url="http://cloud.test/v1", provider=provider)
    config = made(BackendConfig, name=name, kind="cloud", model="m", continuation="Anchor", url=target, price=price)
    if price is not None:
        config = config.model_copy(update={"price": PriceConfig.model_validate(price)})
    return Backend(config, Credentials({}, "nowhere"), lambda: 0.5)


def book(*budgets: dict[str, Any], routers: int = 1, clouds: tuple[str, ...] = ("cloud", "second")) -> BudgetBook:
    found = BudgetBook("me", lambda: NOW, lambda: 0.0)
    found.take(
        BudgetsConfig.model_validate({"routers": routers, "budgets": list(budgets)}), {"route": frozenset(clouds)}
    )
    return found


def purse(of: BudgetBook, most: int = 0, choices: int = 1, *, payer: str = "me", chats: bool = True) -> Purse:
    return of.purse("route", "", "", payer, Expectation(100, most, choices, 400, chats=chats))


#: Limit of the request, choices, what was learned of answers -> tokens of answer that are reserved for.
RESERVED = [
    (0, 1, None, FIRST_TOKENS),
    (50, 1, None, 50),
    (1_000_000, 1, None, FIRST_TOKENS),
    (0, 1, 300, 300),
    (50, 1, 300, 50),
    (1_000_000, 4, 300, 1200),
]


@pytest.mark.parametrize(("most", "choices", "learned", "answer"), RESERVED)
def test_the_prompt_and_what_answers_usually_have_are_reserved(
    most: int, choices: int, learned: int | None, answer: int
) -> None:
    held, backend = book(budget("1")), cloud()
    if learned is not None:
        held.usual("cloud").learn(learned, 0, 0)
    one = purse(held, most, choices)
    one.reserve(backend)
    assert held.budgets[0].reserved == (100 + 2 * answer) * MILLIONTH
    one.release()
    assert held.budgets[0].reserved == 0


def test_an_answer_that_grows_longer_reserves_more() -> None:
    held, backend = book(budget("1")), cloud()
    one = purse(held, 100)
    one.reserve(backend)
    one.grew(backend, 60)
    assert held.budgets[0].reserved == 300 * MILLIONTH
    one.grew(backend, 400)
    assert held.budgets[0].reserved == (100 + 2 * 500) * MILLIONTH
    booked = one.settle(backend, Used(100, 400), 900 * MILLIONTH, "USD", answered=True)
    assert booked == (("month", 1_793_491_200),)
    assert (held.budgets[0].reserved, held.budgets[0].counts.total) == (0, 900 * MILLIONTH)


def test_what_a_provider_tells_itself_is_reserved_by_what_answers_have_cost() -> None:
    held, backend = book(budget("1")), cloud(provider="openRouter", price=None)
    for cost in (0, 40, 40):
        one = purse(held)
        assert one.verdict(backend, 0.0) == Permission.ASK
        one.reserve(backend)
        one.settle(backend, Used(10, 10), cost * MILLIONTH, "USD", answered=True)
    one = purse(held)
    one.reserve(backend)
    assert 20 * MILLIONTH <= held.budgets[0].reserved <= 40 * MILLIONTH


def test_what_answers_usually_are_rises_fast_and_falls_slowly() -> None:
    usual = Usual()
    usual.learn(100, 5, 0)
    assert (usual.tokens, usual.more) == (100, 5)
    for _ in range(100):
        usual.learn(100, 5, 0)
    usual.learn(1000, 5, 0)
    assert usual.tokens > 500
    usual.learn(100, 5, 0)
    assert usual.tokens > 500
    for _ in range(400):
        usual.learn(100, 0, 0)
    assert usual.tokens == 100 and usual.more == 0
    usual.learn(10**9, 10**9, 0)
    assert usual.more < 5000, "a server that counts absurdly does not make everybody's prompt dear"


ABSURD = [
    (Used(400 + PROMPT_BEYOND_BODY, 5), False),
    (Used(401 + PROMPT_BEYOND_BODY, 5), True),
    (Used(5, 2 * MOST_MADE), False),
    (Used(5, 2 * MOST_MADE + 1), True),
]


@pytest.mark.parametrize(("used", "doubted"), ABSURD)
def test_a_usage_that_cannot_be_is_doubted(used: Used, doubted: bool) -> None:
    assert Expectation(100, 0, 2, 400, chats=True).doubts(used) == doubted
    used = Used(5, 5)
    for cost, told in ((MOST_COST, False), (MOST_COST + 1, True)):
        used.cost = cost
        assert Expectation(100, 0, 2, 400, chats=True).doubts(used) == told


def test_each_budget_that_holds_a_request_has_to_have_room() -> None:
    held = book(budget("1"), budget("0.000001", "tiny", "NextTier", backends=["second"]))
    one = purse(held, 10)
    held.budgets[1].counts.add(10**6)
    assert (one.verdict(cloud(), 0.0), one.verdict(cloud("second"), 0.0)) == (Permission.ASK, Permission.PASS)
    assert one.barred["second"].terms.name == "tiny" and one.refusal().retry_after == 3600


def test_a_window_that_ends_while_an_attempt_runs_counts_where_it_began() -> None:
    clock = [NOW]
    held = BudgetBook("me", lambda: clock[0], lambda: 0.0)
    held.take(BudgetsConfig.model_validate({"routers": 1, "budgets": [budget("1")]}), {"route": frozenset(["cloud"])})
    one, backend = purse(held), cloud()
    one.reserve(backend)
    before = held.budgets[0].counts
    clock[0] += 40 * 86_400
    assert held.budgets[0].counts is not before
    one.settle(backend, Used(10, 10), 30, "USD", answered=True)
    assert (before.total, held.budgets[0].counts.total, held.budgets[0].reserved) == (30, 0, 0)


def test_a_router_is_blind_while_neither_the_ledger_nor_all_others_are_heard() -> None:
    clock = [100.0]
    held = BudgetBook("me", lambda: NOW, lambda: clock[0])
    held.take(BudgetsConfig.model_validate({"routers": 3, "budgets": [budget("9")]}), {"route": frozenset(["cloud"])})
    assert held.is_blind
    held.settle(1)
    assert held.is_blind, "one of two is not all"
    held.settle(2)
    assert not held.is_blind
    held.settle(0)
    held.heard_ledger()
    assert not held.is_blind
    clock[0] += FRESH_SECONDS + 0.1
    assert held.is_blind


BAD = [
    None, "x", [None], [{}], [{"name": "month", "currency": "USD", "begin": "x", "spent": {}, "reserved": "0"}],
    [{"name": "month", "currency": "USD", "begin": 1_793_491_200, "spent": {"a": "-1"}, "reserved": "0"}],
    [{"name": "month", "currency": "USD", "begin": 1_793_491_200, "spent": {"a": "NaN"}, "reserved": "0"}],
    [{"name": "month", "currency": "USD", "begin": 1_793_491_200, "spent": [1], "reserved": "0"}],
    [{"name": "month", "currency": "EUR", "begin": 1_793_491_200, "spent": {"a": "5"}, "reserved": "0"}],
    [{"name": "month", "currency": "USD", "begin": 5, "spent": {"a": "5"}, "reserved": "0"}],
    [{"name": "other", "currency": "USD", "begin": 1_793_491_200, "spent": {"a": "5"}, "reserved": "0"}],
]  # fmt: skip


@pytest.mark.parametrize("told", BAD)
def test_what_cannot_be_read_or_is_of_another_window_changes_nothing(told: Any) -> None:
    held = book(budget("9"))
    held.hear_all(told, "router")
    assert held.budgets[0].counts.total == 0


OUTCOMES = st.sampled_from(
    [Outcome.UNREACHABLE, Outcome.SERVER_ERROR, Outcome.OVERLOADED, Outcome.RATE_LIMITED, Outcome.TOO_LATE]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["house", "cloud", "second"]), min_size=1, max_size=3, unique=True),
    st.sampled_from(["HouseOnly", "NextTier", "Refuse"]),
    st.lists(st.tuples(OUTCOMES, st.integers(0, 400)), max_size=8),
    st.integers(0, 900),
)
def test_no_cloud_is_asked_without_room_and_no_house_is_passed_over_for_money(
    names: list[str], way: str, faults: list[tuple[Outcome, int]], amount: int
) -> None:
    held = book(budget(f"0.{amount:06d}", when_spent=way, backends=["cloud"]))
    backends = {"house": machines.house(), "cloud": cloud(), "second": cloud("second")}
    held.usual("cloud").learn(100, 0, 300 * MILLIONTH)
    one = purse(held, 100)
    facts = Facts(
        [Candidate(backends[name], tier, b"") for tier, name in enumerate(names)],
        FailoverSettings(made(FailoverConfig, maxAttempts=16)),
        600.0,
        streams=True,
        input_tokens=100,
        random=lambda: 0.5,
        cold_start=made(ColdStartConfig),
        purse=one,
    )
    machine, now, asked = RequestMachine(facts), 0.0, []
    decision: Any = machine.begin(now)
    (only,) = held.budgets
    for outcome, cost in faults:
        if not isinstance(decision, Try):
            break
        name = decision.candidate.backend.name
        asked.append(name)
        reserved = 300 * MILLIONTH if name == "cloud" else 0  # what others cost is not in it
        assert only.reserved == reserved
        assert name != "cloud" or not only.counts.total or only.counts.total + reserved <= only.terms.amount
        now += 1.0
        machine.connecting()
        machine.sent(now)
        one.settle(decision.candidate.backend, Used(100, 1), cost * MILLIONTH, "USD", answered=False)
        decision = machine.failed(now, Failure(outcome, "failed"))
    one.release()
    assert only.reserved == 0
    if amount == 0 and "cloud" in names:
        assert "cloud" not in asked and (way != "HouseOnly" or "second" not in asked)
    if isinstance(decision, Answer):
        refused = way == "Refuse" and "cloud" in names and only.counts.total + 300 * MILLIONTH > only.terms.amount
        before = "house" in names and (not refused or names.index("house") < names.index("cloud"))
        assert not before or "house" in asked, "the house was passed over"
        assert decision.answer.kind.word != "policy_budget_spent" or not asked
