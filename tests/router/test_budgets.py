"""Budgets at a running router: who is asked while there is money, who when there is none, and what clients are told."""

from __future__ import annotations

from pathlib import Path

from testbed.router import RunningRouter, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.budgets import budget, budgeted, priced


async def test_a_cloud_is_asked_until_its_budget_is_spent_and_then_refused_by_its_name(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget("0.0001"))
        async with RunningRouter(tmp_path, document) as router:
            answers = [await router.ask(chat(stream=False)) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    refused = answers[-1]
    assert refused.error is not None and refused.error["type"] == "policy_budget_spent"
    assert (
        refused.error["code"] == "insufficient_quota"
        and "budget month (0.0001 USD a month)" in refused.error["message"]
    )
    assert refused.headers["x-genset-error"] == "policy_budget_spent"
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert len(far.requests) == 3
