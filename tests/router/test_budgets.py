"""Budgets at a running router: who is asked while there is money, who when there is none, and what clients are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Silence, Status, model_not_found
from tests.support.router.budgets import budget, budgeted, priced
from tests.support.router.consumers import access, bearer, consumer, keys
from tests.support.router.dialects import Messages, Responses
from tests.support.router.sharing import two_routers

ANSWER = 27 * 10**6  # what an answer of ten words costs, in millionths of a millionth
THREE = "0.0001"  # a budget of three answers


def spent(router: RunningRouter, name: str = "month") -> int:
    book = router.router.shared.budgets
    assert book is not None
    return next(one for one in book.budgets if one.terms.name == name).counts.total


def reserved(router: RunningRouter) -> int:
    book = router.router.shared.budgets
    assert book is not None
    return sum(one.reserved for one in book.budgets)


async def statuses(router: RunningRouter, count: int, **more: Any) -> list[int]:
    return [(await router.ask(chat(stream=False), **more)).status for _ in range(count)]


async def test_a_cloud_is_asked_until_its_budget_is_spent_and_then_refused_by_its_name(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            answers = [await router.ask(chat(stream=False)) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    refused = answers[-1]
    assert refused.error is not None and refused.error["type"] == "policy_budget_spent"
    assert refused.error["code"] == "insufficient_quota"
    assert "budget month (0.0001 USD a month) is spent" in refused.error["message"]
    assert "budgets[month].amount" in refused.error["message"] and refused.headers["x-should-retry"] == "false"
    assert refused.headers["x-genset-error"] == "policy_budget_spent"
    assert 60 < int(refused.headers["retry-after"]) <= 3600 and len(far.requests) == 3


@pytest.mark.parametrize("api", [Messages(), Responses()])
@pytest.mark.parametrize("stream", [True, False])
async def test_every_api_counts_and_is_told_in_its_envelope(tmp_path: Path, api: Any, stream: bool) -> None:
    """BerriAI/litellm#38176: what came by these two was in no budget."""
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            seen = [api.seen(await router.ask(api.body(stream=stream), api.path)) for _ in range(5)]
            assert spent(router) == 3 * ANSWER
    assert [one.verdict for one in seen[:3]] == ["whole"] * 3
    assert seen[4].verdict.startswith("429 "), seen[4]


STREAMED = [
    (Answer(), ANSWER),
    (Answer(usage=False), None),  # defilantech/LLMKube#1852: nobody told a usage, and it was free
    (Answer(words=10, brk=Break("rst", after_chunks=4), interval=0.01), None),
]


@pytest.mark.parametrize(("step", "cost"), STREAMED)
async def test_streams_count_also_without_a_usage_and_if_they_are_cut(
    tmp_path: Path, step: Answer, cost: int | None
) -> None:
    async with ScriptedUpstream([step]) as far:
        document = budgeted(config(priced(far.base_url), failover={"continueStreams": False}), budget("1"))
        async with RunningRouter(tmp_path, document) as router:
            await router.ask(chat(stream=True))
            assert spent(router) == cost if cost is not None else 4 * 10**6 < spent(router) < 2 * ANSWER
            assert reserved(router) == 0


async def test_a_client_that_leaves_has_spent_what_had_come(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Answer(words=50, interval=0.05)]) as far,
        RunningRouter(tmp_path, budgeted(config(priced(far.base_url)), budget("1"))) as router,
    ):
        async with client.stream(router.chat_url, chat()) as exchange:
            await exchange.until_text(3)
            assert reserved(router) > 0
            exchange.leave()
        await until(lambda: not router.exchanges, what="its end")
        assert 6 * 10**6 < spent(router) < 4 * ANSWER and reserved(router) == 0


async def test_nothing_stays_reserved_whatever_becomes_of_requests(tmp_path: Path) -> None:
    """BerriAI/litellm#36592: reservations leaked, and keys that had spent 0.4 % were refused."""
    steps = [Status(503), Status(401), Status(400), Silence(), Answer(stream=False, brk=Break("rst", after_bytes=40))]
    async with ScriptedUpstream(steps * 3) as far:
        document = config(priced(far.base_url), failover={"totalSeconds": 1, "continueStreams": False})
        async with RunningRouter(tmp_path, budgeted(document, budget("1"))) as router:
            await asyncio.gather(*(router.ask(chat(stream=at % 2 == 0)) for at in range(8)))
            assert not router.exchanges and reserved(router) == 0
            book = router.router.shared.budgets
            assert book is not None and all(not one.payers.count for one in book.budgets)


async def test_many_at_once_do_not_spend_more_than_there_is(tmp_path: Path) -> None:
    """BerriAI/litellm#34732 and #40095: all that were under way at once, or were the first, passed."""
    async with ScriptedUpstream(default=Answer(first_delay=0.1)) as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            first = await asyncio.gather(*(router.ask(chat(stream=False)) for _ in range(20)))
            later = [answer.status for _ in range(3) for answer in await asyncio.gather(
                *(router.ask(chat(stream=False)) for _ in range(20)))]  # fmt: skip
            assert spent(router) <= 100 * 10**6 and reserved(router) == 0
    assert [answer.status for answer in first].count(200) == 1, "nobody knew what an answer costs"
    waits = [answer for answer in first if answer.status == 429]
    assert all(int(answer.headers["retry-after"]) == 2 for answer in waits)
    assert waits[0].error is not None and "is reserved by requests in work" in waits[0].error["message"]
    assert later.count(200) == 2 and len(far.requests) == 3


async def test_the_house_and_what_is_free_are_never_refused(tmp_path: Path) -> None:
    """BerriAI/litellm#14004, #10973, #29912, #38515; OpenHands#16996: local and free models were blocked, also by 0."""
    free = {"source": "policy", "currency": "USD", "rates": {"inputPerMillion": "0", "outputPerMillion": "0"}}
    async with ScriptedUpstream() as near, ScriptedUpstream() as far, ScriptedUpstream() as gift:
        for backends in ([house(near.base_url), priced(far.base_url)], [priced(gift.base_url, "gift", price=free)]):
            document = budgeted(
                config(*backends), *(budget("0", way, way) for way in ("HouseOnly", "NextTier", "Refuse"))
            )
            document["budgets"]["budgets"] = [
                {**one, "name": one["name"].lower()} for one in document["budgets"]["budgets"]
            ]
            async with RunningRouter(tmp_path, document) as router:
                assert await statuses(router, 5) == [200] * 5
        document = budgeted(config(priced(far.base_url)), budget("0"))
        async with RunningRouter(tmp_path, document) as router:  # #37736: a budget of 0 never acted
            assert await statuses(router, 2) == [429] * 2
    assert (len(near.requests), len(gift.requests), len(far.requests)) == (5, 5, 0)


#: `whenSpent` -> who answers, by the order of the route, once the budget of `far` is spent; "": 429.
WAYS = [
    ("HouseOnly", ["far", "other", "house"], "house"),
    ("HouseOnly", ["other", "far", "house"], "house"),
    ("HouseOnly", ["far", "other"], ""),
    ("NextTier", ["far", "other", "house"], "other"),
    ("NextTier", ["far", "house", "other"], "house"),
    ("NextTier", ["far"], ""),
    ("Refuse", ["far", "other", "house"], ""),
    ("Refuse", ["house", "far"], "house"),
    ("Refuse", ["other", "far"], "other"),
]


@pytest.mark.parametrize(("way", "order", "answers"), WAYS)
async def test_who_answers_once_it_is_spent(tmp_path: Path, way: str, order: list[str], answers: str) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far, ScriptedUpstream() as other:
        made = {
            "house": house(near.base_url),
            "far": priced(far.base_url, "far"),
            "other": priced(other.base_url, "other"),
        }
        document = config(*(made[name] for name in order))
        spender = {"name": "spender", "match": {"models": ["spender"]}, "tiers": [[{"backend": "far"}]]}
        document = config(*(made[name] for name in order), routes=[*document["routes"], spender])
        async with RunningRouter(
            tmp_path, budgeted(document, budget(THREE, when_spent=way, backends=["far"]))
        ) as router:
            for _ in range(4):
                last = await router.ask(chat(stream=False, model="spender"))
            assert last.status == 429
            before = len(far.requests)
            answer = await router.ask(chat(stream=False))
            assert len(far.requests) == before
    assert (answer.headers.get("x-genset-backend") or "") == answers
    assert answer.status == (200 if answers else 429)
    if answers and order[0] != answers:
        assert answer.headers["x-genset-reason"] == "budget_spent"


async def test_a_house_that_fails_is_told_with_the_budget_that_kept_it_from_the_cloud(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(500)) as near, ScriptedUpstream() as far:
        document = budgeted(config(house(near.base_url), priced(far.base_url)), budget("0"))
        async with RunningRouter(tmp_path, document) as router:
            answer = await router.ask(chat(stream=False))
    assert answer.status >= 500 and answer.error is not None and not far.requests
    assert "cloud was not asked: budget month is spent" in answer.error["message"]


async def test_it_is_asked_again_at_every_hop(tmp_path: Path) -> None:
    """The first cloud fails after it has cost something, which leaves nothing for the second one; nor for a continuation."""
    cut = Answer(words=40, brk=Break("rst", after_chunks=30), interval=0.001)
    for stream in (False, True):
        async with ScriptedUpstream([Answer(words=1), cut]) as one, ScriptedUpstream() as two:
            backends = [priced(one.base_url, "one"), priced(two.base_url, "two", continuation="Prefill")]
            async with RunningRouter(tmp_path, budgeted(config(*backends), budget("0.00007"))) as router:
                assert (await router.ask(chat(stream=False))).status == 200
                answer = await router.ask(chat(stream=stream))
                assert not answer.complete and not two.requests
                assert (
                    answer.error is not None and "two was not asked: budget month is spent" in answer.error["message"]
                )
                assert reserved(router) == 0


async def test_a_refusal_leaves_everything_for_the_next_one(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(503)) as one, ScriptedUpstream() as two:
        document = budgeted(config(priced(one.base_url, "one"), priced(two.base_url, "two")), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            assert await statuses(router, 3) == [200, 200, 200]
            last = await router.ask(chat(stream=False))
            assert last.status in (429, 503) and last.error is not None, "nobody has answered, and one may not be asked"
            assert "two was not asked: budget month is spent" in last.error["message"] or last.status == 429
            assert spent(router) == 3 * ANSWER


async def test_scopes_hold_consumers_teams_and_routes(tmp_path: Path) -> None:
    told = access(consumer("invoices", "accounting"), consumer("lab", "science"))
    async with ScriptedUpstream() as far:
        made = config(priced(far.base_url))
        second = {**made["routes"][0], "name": "second", "match": {"models": ["other"], "headers": []}}
        document = {**config(priced(far.base_url), routes=[*made["routes"], second]), "access": told}
        budgets = [budget(THREE, "team", teams=["accounting"]), budget("0", "nowhere", routes=["second"])]
        async with RunningRouter(tmp_path, budgeted(document, *budgets), keys()) as router:
            assert await statuses(router, 5, headers=bearer("invoices")) == [200] * 3 + [429] * 2
            assert await statuses(router, 5, headers=bearer("lab")) == [200] * 5
            assert (await router.ask(chat(model="other"), headers=bearer("lab"))).status == 429
            assert (spent(router, "team"), spent(router, "nowhere")) == (3 * ANSWER, 0)


async def test_a_huge_limit_reserves_no_more_than_answers_usually_have(tmp_path: Path) -> None:
    """One caller asks for a million tokens, again and again; others are served beside it."""
    told = access(consumer("invoices"), consumer("lab"))
    async with ScriptedUpstream(default=Answer(first_delay=0.2)) as far:
        document = budgeted({**config(priced(far.base_url)), "access": told}, budget("0.001"))
        async with RunningRouter(tmp_path, document, keys()) as router:
            assert (await router.ask(chat(), headers=bearer("lab"))).complete
            huge = [
                asyncio.create_task(router.ask(chat(max_tokens=1_000_000), headers=bearer("invoices")))
                for _ in range(30)
            ]
            await until(lambda: len(far.requests) > 5, what="the greedy one is in work")
            assert reserved(router) < 700 * 10**6, "it holds what is left"
            assert (await router.ask(chat(), headers=bearer("lab"))).complete
            await asyncio.gather(*huge)


async def test_a_usage_that_cannot_be_spends_nobodys_money(tmp_path: Path) -> None:
    absurd = {"prompt_tokens": 7, "completion_tokens": 9 * 10**12, "total_tokens": 9 * 10**12 + 7}
    body = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m", "usage": absurd,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "0"}, "finish_reason": "stop"}],
    }  # fmt: skip
    async with ScriptedUpstream([Status(200, body)]) as far:
        document = budgeted(config(priced(far.base_url)), budget("1"))
        async with RunningRouter(tmp_path, document) as router:
            answer = await router.ask(chat(stream=False))
            assert answer.headers["x-genset-cost"] == "unknown" and spent(router) == 0
            metrics = (await router.admin("/metrics")).body.decode()
            assert await statuses(router, 3) == [200] * 3
    assert 'genset_budget_uncounted_total{budget="month"} 1.0' in metrics


async def test_what_nobody_knows_the_price_of_is_not_counted_and_not_asked_once_it_is_spent(tmp_path: Path) -> None:
    async with ScriptedUpstream() as dark, ScriptedUpstream() as far:
        document = config(priced(dark.base_url, "dark", price=None), priced(far.base_url))
        del document["backends"][0]["price"]
        second = {"name": "second", "match": {"models": ["paid"]}, "tiers": [[{"backend": "cloud"}]]}
        document = config(*document["backends"], routes=[*document["routes"], second])
        async with RunningRouter(tmp_path, budgeted(document, budget(THREE))) as router:
            assert await statuses(router, 5) == [200] * 5 and spent(router) == 0
            for _ in range(4):
                await router.ask(chat(stream=False, model="paid"))
            assert spent(router) == 3 * ANSWER
            assert (await router.ask(chat(stream=False))).status == 429, "it may cost anything"
            assert len(dark.requests) == 5


async def test_what_costs_another_currency_is_not_in_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        euros = {"source": "policy", "currency": "EUR", "rates": {"inputPerMillion": "1", "outputPerMillion": "2"}}
        document = budgeted(config(priced(far.base_url, price=euros)), budget("0"))
        async with RunningRouter(tmp_path, document) as router:
            assert await statuses(router, 3) == [200] * 3 and spent(router) == 0


async def test_what_the_router_asks_for_itself_is_counted(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([model_not_found()]) as far,
        RunningRouter(tmp_path, budgeted(config(priced(far.base_url)), budget("1"))) as router,
    ):
        await router.ask(chat(stream=False))
        await until(lambda: spent(router) == 9 * 10**6, what="its own request is counted")


async def test_a_router_that_begins_anew_knows_what_it_has_spent(tmp_path: Path) -> None:
    """api7/aisix#48: whoever was restarted began with nothing spent. Here is neither a ledger nor another router."""
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        for expected in ([200, 200], [200, 429], [429, 429]):
            async with RunningRouter(tmp_path, document, spool=tmp_path / "spool") as router:
                assert await statuses(router, 2) == expected


async def test_what_was_spent_outlives_a_change_of_the_budget(tmp_path: Path) -> None:
    """And one that is raised lets requests pass at once; a limit of another name begins anew."""
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            assert await statuses(router, 4) == [200] * 3 + [429]
            for changed, expected in (
                (budget("0.0002"), [200] * 4 + [429]),
                (budget("0.0001"), [429]),
                (budget(THREE, "new"), [200] * 3 + [429]),
                (budget(THREE, currency="EUR"), [200]),
            ):
                router.write(budgeted(config(priced(far.base_url)), changed))
                assert await router.router.reload()
                assert await statuses(router, len(expected)) == expected
            router.write(config(priced(far.base_url)))
            assert await router.router.reload() and router.router.shared.budgets is None
            assert await statuses(router, 2) == [200] * 2


async def test_what_is_no_chat_counts_too(tmp_path: Path) -> None:
    """BerriAI/litellm#26701, #30276, #37877: embeddings and rerank were in no budget."""
    body = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 50, "total_tokens": 50}}
    async with ScriptedUpstream(default=Status(200, body)) as far:
        document = budgeted(config(priced(far.base_url)), budget("0.0001"))
        async with RunningRouter(tmp_path, document) as router:
            asked = {"model": "counting", "input": "some text"}
            seen = [(await router.ask(asked, "/v1/embeddings")).status for _ in range(4)]
    assert seen == [200, 200, 429, 429]


async def test_a_budget_covers_nothing_but_its_scope_and_then_costs_nothing(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = config(house(near.base_url), routes=None)
        async with RunningRouter(tmp_path, budgeted(document, budget("0"))) as router:
            held = router.router.shared.budgets
            assert held is not None and held.holds("route", "", "") == ()
            assert await statuses(router, 2) == [200] * 2
    assert not far.requests


async def test_two_routers_tell_each_other_what_they_have_spent_and_reserved(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer(first_delay=0.8)) as far:

        def content(peers: dict[str, Any] | None) -> dict[str, Any]:
            shared = {"peers": peers} if peers else {}
            return budgeted(config(priced(far.base_url)), budget(THREE), routers=2, **shared)

        async with two_routers(tmp_path, content) as (one, two):
            running = asyncio.create_task(one.ask(chat(stream=False)))
            await until(lambda: reserved(one) > 0)
            book = two.router.shared.budgets
            assert book is not None
            await until(lambda: book.budgets[0].elsewhere > 0, what="the other one hears what is reserved")
            refused = await two.ask(chat(stream=False))
            assert (refused.status, refused.headers["retry-after"]) == (429, "2")
            assert (await running).status == 200
            await until(lambda: spent(two) == ANSWER and not book.budgets[0].elsewhere, what="and what was spent")
            assert not book.is_blind
            assert await statuses(two, 2) == [200] * 2
            await until(lambda: spent(one) == 3 * ANSWER)
            assert await statuses(one, 1) == [429]


async def test_a_router_that_hears_nobody_keeps_to_its_part(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget("0.0002"), routers=2)
        async with RunningRouter(tmp_path, document) as router:
            assert await statuses(router, 5) == [200] * 3 + [429] * 2
            metrics = (await router.admin("/metrics")).body.decode()
            assert "genset_budget_blind 1.0" in metrics
            assert 'genset_budget_spent{budget="month",currency="USD"} 8.1e-05' in metrics


async def test_the_operator_is_told(tmp_path: Path) -> None:
    async with ScriptedUpstream() as far:
        document = budgeted(config(priced(far.base_url)), budget(THREE))
        async with RunningRouter(tmp_path, document) as router:
            await statuses(router, 2)
            (told,) = (await router.admin("/-/config")).json["budgets"]
    assert (told["name"], told["currency"], told["spent"], told["percent"]) == ("month", "USD", "0.000054", 54)
    assert told["begin"] < told["end"]
