"""Whatever fails, in whichever order and API, whether it is a stream or not: each attempt is booked once, by what it made.

The servers are the witnesses: what clients have asked them for is what records hold as attempts, and what they have told as
usage costs what the price says. Metrics, access log and records agree to the last digit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genset.contracts.usage_records import UsageRecord
from genset.pricing.money import DIGITS
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Close, Reset, Status, Step
from tests.router.test_costs import PRICE, records

PROMPT = 7  # tokens, as scripted servers count
STEPS: st.SearchStrategy[Step] = st.sampled_from(
    [
        Answer(words=4), Answer(words=9, usage=True), Answer(words=5, usage=False),
        Answer(words=6, brk=Break("rst", after_chunks=2)),
        Answer(words=6, brk=Break("fin", after_chunks=3)), Answer(words=3, finish_reason=None, done=False),
        Status(500), Status(503), Status(429, headers={"retry-after": "0"}), Status(400), Reset(), Close(),
    ]
)  # fmt: skip
SCRIPT = st.lists(STEPS, max_size=6)
ASKED = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4)  # stream; leaves before the end
CUT = [Answer(words=6, brk=Break("rst", after_chunks=2))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SCRIPT, SCRIPT, SCRIPT, ASKED)
@example(CUT, CUT, [], [(True, False), (False, False)])
@example([], [Status(503)] * 3, [Answer(words=5, usage=False)], [(False, False)])
@example([Answer(words=9, usage=True)], [], [], [(True, True)])
def test_each_attempt_is_booked_once_by_what_it_made(
    near: list[Step], one: list[Step], two: list[Step], asked: list[tuple[bool, bool]]
) -> None:
    asyncio.run(play(near, one, two, asked))


async def play(near: list[Step], one: list[Step], two: list[Step], asked: list[tuple[bool, bool]]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            name: await stack.enter_async_context(ScriptedUpstream(list(script)))
            for name, script in (("house", near), ("one", one), ("two", two))
        }
        document: dict[str, Any] = config(
            house(servers["house"].base_url, continuation="Prefill"),
            cloud(servers["one"].base_url, "one", price=PRICE, continuation="Prefill"),
            cloud(servers["two"].base_url, "two", price={**PRICE, "currency": "EUR"}, continuation="Prefill"),
        )
        document["usage"] = {"spoolBytes": 1024 * 1024}
        spool, log = folder / "spool", folder / "log"
        async with RunningRouter(folder, document, spool=spool, log=log) as router:
            for number, (stream, leaves) in enumerate(asked):
                headers = {"x-request-id": f"r{number}"}
                if leaves:
                    async with client.stream(router.chat_url, chat(stream=stream), headers) as exchange:
                        await asyncio.sleep(0.01)
                        exchange.leave()
                else:
                    await router.ask(chat(stream=stream), headers=headers)
            await until(lambda: not router.exchanges, what="the end of all requests")
            await asyncio.sleep(0.15)  # the router's own requests, and the log's next flush
            cost = Counter({key[1:3]: amount for key, amount in router.metrics.cost.items() if key[0]})
        found = [record for record in records(spool) if record.route]
        check(found, servers, len(asked))
        paid: Counter[str] = Counter()
        for record in found:
            for attempt in record.attempts:
                if attempt.cost:
                    paid[attempt.backend] += int(attempt.cost.scaleb(DIGITS))
        assert paid == Counter({backend: amount for (backend, _), amount in cost.items() if amount})
        told = {line["id"]: line["cost"] for line in map(json.loads, log.read_text().splitlines()) if line["route"]}
        assert told == {record.request: in_words(record) for record in found}


def check(found: list[UsageRecord], servers: dict[str, ScriptedUpstream], requests: int) -> None:
    assert sorted(record.request for record in found) == [f"r{number}" for number in range(requests)]
    attempts = Counter(attempt.backend for record in found for attempt in record.attempts)
    for name, server in servers.items():
        # A kept connection that is closed under a request is no attempt: it is sent once more.
        heard = [received for received in server.requests if not isinstance(received.step, Reset | Close)]
        assert attempts[name] >= len(heard), f"{name} was asked more often than was booked"
    for record in found:
        for attempt in record.attempts:
            if attempt.price == "house":
                assert attempt.cost is None
            elif attempt.cost is not None:
                assert attempt.cost == Decimal(attempt.prompt + 2 * attempt.completion).scaleb(-6)
            if attempt.outcome == "ok" and not attempt.estimated:
                assert attempt.prompt == PROMPT


def in_words(record: UsageRecord) -> str:
    """Returns what the log has to say."""
    sums: dict[str, Decimal] = {}
    clouds = [attempt for attempt in record.attempts if attempt.price != "house"]
    for attempt in clouds:
        if attempt.cost is not None and attempt.currency:
            sums[attempt.currency] = sums.get(attempt.currency, Decimal(0)) + attempt.cost
    parts = [f"{amount.normalize():f} {currency}" for currency, amount in sorted(sums.items())]
    if any(attempt.estimated and attempt.cost is not None for attempt in clouds):
        parts.append("estimated")
    if any(attempt.cost is None for attempt in clouds):
        parts.append("unknown")
    return ", ".join(parts)
