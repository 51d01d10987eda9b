"""A budget of two routers on the embedded cluster: spent, it holds through the death of the ledger and of every router."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from e2e import story
from e2e.load import Load
from e2e.scenarios.conftest import LEDGER, take_ledger_away
from e2e.scenarios.test_ledger import total
from e2e.scenarios.test_outages import POLICY, ROUTER_PODS, answered_by, policy, until_event
from e2e.world import World, until
from testbed.house import OPERATOR_NAMESPACE, House

pytestmark = [pytest.mark.timeout(420), pytest.mark.needs_embedded_cluster]
AMOUNT = 20  # USD, at one for each answer
CLIENTS = 4
BUDGET = {
    "name": "frontier-month",
    "scope": {"backends": ["frontier"]},
    "amount": str(AMOUNT),
    "currency": "USD",
    "timeZone": "Europe/Berlin",
    "whenSpent": "NextTier",
}
PRICE = {"perRequest": "1", "currency": "USD"}


def told(house: House) -> dict[str, Any]:
    found = house.get("rp", story.NAMESPACE, POLICY) or {}
    return next(iter(found.get("status", {}).get("budgets") or [{}]))


def booked(house: House) -> dict[str, str]:
    """What the ledger has of the policy, by currency."""
    rows = total(house, "--by", "policy")["rows"]
    return next((dict(row["cost"]) for row in rows if row["policy"] == f"{story.NAMESPACE}/{POLICY}"), {})


async def asked(url: str, seconds: float) -> Counter[str]:
    """Counts whom clients were answered by; none is lost."""
    async with Load(url, "counting", tokens=8, clients=CLIENTS, stream=False, retries=1) as load:
        await asyncio.sleep(seconds)
    assert not load.lost, load.lost[:3]
    return load.by_backend()


async def both_reach_the_house(url: str) -> None:
    """New routers are let in by the house's NetworkPolicy a moment after they are Ready."""
    in_a_row, deadline = 0, asyncio.get_running_loop().time() + 60
    while in_a_row < 12:
        answer = await story.one_answer(url, "counting", tokens=4)
        in_a_row = in_a_row + 1 if answer.backend == "house" and not answer.problem else 0
        assert answer.backend != "frontier", "a router that begins does not know that the budget is spent"
        assert asyncio.get_running_loop().time() < deadline, answer
        await asyncio.sleep(0.1)


async def test_a_budget_outlives_the_ledger_and_the_routers(world: World, ledger: House) -> None:
    async with policy(world, dead=False, routers=2, spec={"budgets": [BUDGET]}, price=PRICE) as url:
        seen = await asked(url, 12)
        assert AMOUNT - 1 <= seen["frontier"] <= AMOUNT + CLIENTS, f"of {AMOUNT} answers {seen['frontier']} were paid"
        assert seen["house"] > 0, "the house answers once it is spent"
        await until(
            lambda: told(ledger).get("state") == "Spent", lambda: f"a spent budget, not {told(ledger)}", seconds=30
        )
        assert float(told(ledger)["spent"]) == seen["frontier"]
        assert "frontier-month" in await until_event(ledger, "BudgetSpent")

        await asyncio.to_thread(take_ledger_away, ledger)
        assert set(await asked(url, 3)) == {"house"}, "routers know by themselves what is spent"
        rolled = ("-n", OPERATOR_NAMESPACE, "rollout", "status", f"deployment/{LEDGER}", "--timeout=90s")
        await asyncio.to_thread(ledger.kubectl, *rolled, seconds=100)
        delete = ("-n", story.NAMESPACE, "delete", "pods", "-l", ROUTER_PODS, "--force", "--grace-period=0")
        await asyncio.to_thread(ledger.kubectl, *delete, seconds=90)
        await asyncio.to_thread(ledger.until, "rp", story.NAMESPACE, POLICY, "Ready", seconds=90)
        await both_reach_the_house(url)
        assert set(await asked(url, 3)) == {"house"}, "routers that begin are told by the ledger what was spent"
        await until(
            lambda: float(booked(ledger).get("USD", 0)) == seen["frontier"],
            lambda: f"the books to say {seen['frontier']} USD, not {booked(ledger)}",
            seconds=30,
        )

        raised = json.dumps({"spec": {"budgets": [{**BUDGET, "amount": str(AMOUNT + 5)}]}})
        ledger.kubectl("-n", story.NAMESPACE, "patch", "rp", POLICY, "--type=merge", "-p", raised)
        await answered_by(url, "frontier")
