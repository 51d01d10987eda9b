"""Consumers at a running router: who gets an answer, what they see of models and limits, and what backends never see."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from genset.router.access.trials import FIRST_WAIT_SECONDS, FREE_TRIALS, MOST_WAITING
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer
from tests.support.router.consumers import KEYS, access, bearer, consumer, keys
from tests.support.router.sharing import two_routers

MODELS = ["counting", "ocr-small", "secret"]
MESSAGE = {"model": "counting", "max_tokens": 8, "messages": [{"role": "user", "content": "count"}]}


def settings(base_url: str, **changes: Any) -> dict[str, Any]:
    told = access(
        consumer("invoices", "accounting", models=["counting", "ocr-*"]),
        consumer("lab", requestsPerMinute=2),
        **changes,
    )
    return {**config(house(base_url), models=MODELS), "access": told}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong-but-long-enough-to-be-one"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Basic {KEYS['lab']}"}, 401),
        ({"x-api-key": KEYS["lab"][:-1]}, 401),
        ({"authorization": f"Bearer {'x' * 20_000}"}, 401),
        (bearer("lab"), 200),
        ({"authorization": f"bearer  {KEYS['lab']}"}, 200),
        ({"x-api-key": KEYS["lab"]}, 200),
        ({"api-key": KEYS["lab"]}, 200),
        ({"authorization": "Basic cHJveHk6cHJveHk=", "x-api-key": KEYS["lab"]}, 200),
    ],
)
async def test_who_is_answered(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=tmp_path / "log") as router,
    ):
        answer = await router.ask(chat(), headers=headers)
        assert answer.status == status, answer.body
        assert len(model.requests) == (status == 200), "a request that may not be answered reached a backend"
        for received in model.requests:
            seen = json.dumps([received.headers, received.body.decode()])
            assert KEYS["lab"] not in seen and "cHJveHk" not in seen, "a client's key went to a backend"
    (line,) = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
    assert line["consumer"] == ("lab" if status == 200 else "") and KEYS["lab"] not in json.dumps(line)


async def test_errors_have_the_envelope_of_the_api(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        plain = await router.ask(chat())
        assert plain.error is not None
        assert (plain.error["type"], plain.error["code"]) == ("policy_key_unknown", "invalid_api_key")
        assert plain.headers["www-authenticate"] == "Bearer" and plain.headers["x-should-retry"] == "false"
        claude = await router.ask(MESSAGE, "/v1/messages")
        assert (claude.status, claude.json["error"]["type"]) == (401, "authentication_error")
        assert (await router.ask(None, "/health")).status == 200
        assert (await router.ask(None, "/v1/models")).status == 401
        assert (await router.ask(None, "/nowhere")).status == 401


async def test_a_model_that_is_not_allowed_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        listed = await router.ask(None, "/v1/models", headers=bearer("invoices"))
        assert [one["id"] for one in listed.json["data"]] == ["counting", "ocr-small"]
        everything = await router.ask(None, "/v1/models", headers=bearer("lab"))
        assert [one["id"] for one in everything.json["data"]] == [*MODELS, "small"][:3]
        told = []
        for name in ("secret", "nobody"):
            answer = await router.ask(chat(model=name), headers=bearer("invoices"))
            assert answer.status == 404 and answer.error is not None
            told.append(answer.error["message"].replace(name, "NAME"))
            one = await router.ask(None, f"/v1/models/{name}", headers=bearer("invoices"))
            assert one.status == 404
        assert told[0] == told[1] and "secret" not in told[0], "the message tells that there is such a model"
        counted = await router.ask(
            {**MESSAGE, "model": "secret"}, "/v1/messages/count_tokens", headers=bearer("invoices")
        )
        assert counted.status == 404


async def test_open_lets_in_who_shows_no_key_and_nobody_with_a_wrong_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url, required=False), keys(), log=log) as router,
    ):
        assert (await router.ask(chat())).status == 200
        assert (await router.ask(chat(), headers={"x-api-key": "a-wrong-key-of-good-length"})).status == 401
        assert (await router.ask(chat(), headers=bearer("invoices"))).status == 200
    told = [json.loads(text) for text in log.read_text().splitlines()]
    assert [(line["consumer"], line["team"]) for line in told] == [
        ("anonymous", ""),
        ("", ""),
        ("invoices", "accounting"),
    ]


async def test_a_limit_is_told_by_the_names_of_the_api_and_refused_with_its_name(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        first = await router.ask(chat(), headers=bearer("lab"))
        told = {name: first.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining", "reset")}
        assert told == {"limit": "2", "remaining": "1", "reset": "1m1s"}
        second = await router.ask(MESSAGE, "/v1/messages", headers=bearer("lab"))
        assert second.status == 200 and second.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert second.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert "x-ratelimit-limit-requests" not in second.headers
        third = await router.ask(chat(), headers=bearer("lab"))
        assert third.status == 429 and third.error is not None and third.error["type"] == "policy_rate_limited"
        assert "consumer lab is at its requestsPerMinute (2 requests in 60 s)" in third.error["message"]
        assert 55 <= int(third.headers["retry-after"]) <= 61 and third.headers["x-ratelimit-remaining-requests"] == "0"
        other = await router.ask(chat(), headers=bearer("invoices"))
        assert other.status == 200 and "x-ratelimit-limit-requests" not in other.headers
        assert len(model.requests) == 3


async def test_requests_in_work_are_bounded_for_their_consumer_alone(tmp_path: Path) -> None:
    told = access(consumer("invoices", maxInFlight=1), consumer("lab"))
    async with (
        ScriptedUpstream(default=Answer(interval=0.05)) as model,
        RunningRouter(tmp_path, {**config(house(model.base_url)), "access": told}, keys()) as router,
    ):
        running = asyncio.create_task(router.ask(chat(), headers=bearer("invoices")))
        await until(lambda: bool(model.requests), what="the first request is in work")
        more, other = await asyncio.gather(
            router.ask(chat(), headers=bearer("invoices")), router.ask(chat(), headers=bearer("lab"))
        )
        assert (more.status, other.status) == (429, 200) and "maxInFlight" in more.error["message"]  # type: ignore[index]
        assert (await running).complete
        assert (await router.ask(chat(), headers=bearer("invoices"))).complete, "its place was not given back"


async def test_priority_decides_who_goes_first_in_a_full_router_and_at_a_full_backend(tmp_path: Path) -> None:
    """One place, first the router's and then the backend's; what is more urgent came last."""
    told = access(consumer("invoices", priority="Low"), consumer("lab", priority="High"))
    for folder, most, backend in (
        ("router", {"maxInFlight": 1}, {}),
        ("backend", {}, {"balancing": {"maxInFlightPerEndpoint": 1, "maxQueued": 2}}),
    ):
        (tmp_path / folder).mkdir()
        async with ScriptedUpstream([Answer(interval=0.5)]) as model:  # the first one takes five seconds
            content = {**config(house(model.base_url, **backend), limits=most), "access": told}
            async with RunningRouter(tmp_path / folder, content, keys()) as router:

                def waiting(router: RunningRouter = router) -> int:
                    return router.gate.queued + len(router.table.backends["house"].line)

                asked = [asyncio.create_task(router.ask(chat(user="first"), headers=bearer("invoices")))]
                await until(lambda model=model: bool(model.requests), what="the place is taken")
                for number, (name, user) in enumerate([("invoices", "low"), ("invoices", "last"), ("lab", "high")]):
                    asked.append(asyncio.create_task(router.ask(chat(user=user), headers=bearer(name))))
                    expected = min(number + 1, 2) if folder == "backend" else number + 1
                    await until(lambda expected=expected: waiting() == expected, what=f"{user} waits")
                answers = await asyncio.gather(*asked)
            served = [json.loads(request.body)["user"] for request in model.requests]
            assert served[:2] == ["first", "high"], f"at the {folder}"
            assert [answer.status for answer in answers] == [200, 200, 429 if folder == "backend" else 200, 200]


async def test_keys_rotate_under_load_without_one_refusal(tmp_path: Path) -> None:
    """The Secret holds the old and the new key for a while; clients change over one after another."""
    new = "gs-laboratory-the-new-one"
    both = keys()["access.keys"].replace(
        b'"lab":[', b'"lab":["' + keys({"lab": new})["access.keys"].split(b'"')[7] + b'",'
    )
    statuses: list[int] = []
    done = asyncio.Event()

    async def ask(key: list[str]) -> None:
        while not done.is_set():
            answer: Response = await router.ask(chat(), headers={"authorization": f"Bearer {key[0]}"})
            statuses.append(answer.status)

    async with ScriptedUpstream() as model:
        content = {**config(house(model.base_url)), "access": access(consumer("lab"))}
        async with RunningRouter(tmp_path, content, keys()) as router:
            shown = [[KEYS["lab"]] for _ in range(3)]
            clients = [asyncio.create_task(ask(key)) for key in shown]
            for file, change in ((both, new), (keys({"lab": new})["access.keys"], new)):
                before = router.metrics.reloads
                (router.credentials_dir / "access.keys").write_bytes(file)
                await until(lambda before=before: router.metrics.reloads > before, what="the new keys are taken")
                for key in shown:
                    key[0] = change
                counted = len(statuses) + 6
                await until(lambda counted=counted: len(statuses) >= counted, what="clients go on")
            done.set()
            await asyncio.gather(*clients)
            assert set(statuses) == {200}
            old = await router.ask(chat(), headers={"authorization": f"Bearer {KEYS['lab']}"})
            assert old.status == 401, "a key that was taken out still opens the door"


async def test_a_configuration_without_its_keys_is_refused_and_the_last_one_stays(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        (router.credentials_dir / "access.keys").write_bytes(b'{"version": 1, "keys": {"lab": ["abc"]}}')
        await until(lambda: router.config_error is not None, what="the broken file is seen")
        assert "access.keysFile" in (router.config_error or "") and "lab" in (router.config_error or "")
        assert (await router.ask(chat(), headers=bearer("lab"))).status == 200


@contextlib.asynccontextmanager
async def two_that_share(
    tmp_path: Path, model: ScriptedUpstream, **allowance: Any
) -> AsyncIterator[list[RunningRouter]]:
    """Two routers that have heard each other; consumer lab has an allowance."""

    def content(peers: dict[str, Any] | None) -> dict[str, Any]:
        return {**config(house(model.base_url)), "access": access(consumer("lab", **allowance), routers=2, peers=peers)}

    async with two_routers(tmp_path, content, keys()) as routers:
        yield routers


async def test_two_routers_share_a_limit_wherever_the_load_comes(tmp_path: Path) -> None:
    """All of it comes to one router, which gets what the other does not use; together they exceed nothing."""
    limit = 20
    async with (
        ScriptedUpstream() as model,
        two_that_share(tmp_path, model, requestsPerMinute=limit) as (one, two),
    ):

        def shared(router: RunningRouter) -> bool:
            consumers = router.router.shared.configured.consumers
            quota = next(c for c in consumers.limited() if c.name == "lab").requests if consumers is not None else None
            return quota is not None and quota.told == limit

        await until(lambda: shared(one) and shared(two), what="the routers hear each other")

        async def served() -> bool:
            await one.ask(chat(), headers=bearer("lab"))
            return len(model.requests) >= 0.9 * limit

        await until(served, what="one router gets nine tenths of the limit")
        for _ in range(2 * limit):
            await two.ask(chat(), headers=bearer("lab"))
        assert 0.9 * limit <= len(model.requests) <= limit
        stranger = await one.admin("/-/limits/1")
        assert stranger.status == 200 and b"a token of the routers" not in stranger.body


async def test_two_routers_share_places_wherever_the_load_comes(tmp_path: Path) -> None:
    """All clients are at one router; when they have gone, the other one has the places."""
    limit = 20
    async with (
        ScriptedUpstream(default=Answer(words=4, interval=0.2)) as model,
        two_that_share(tmp_path, model, maxInFlight=limit) as (one, two),
    ):
        for router in (one, two):
            enough, most = asyncio.Event(), 0

            async def client(router: RunningRouter = router, enough: asyncio.Event = enough) -> None:
                while not enough.is_set():
                    answer = await router.ask(chat(), headers=bearer("lab"))
                    if answer.status == 429:
                        assert f"maxInFlight ({limit} requests in work" in answer.json["error"]["message"]
                        await asyncio.sleep(0.1)

            clients = [asyncio.create_task(client()) for _ in range(2 * limit)]
            async with asyncio.timeout(20):
                while most < 0.9 * limit:
                    most = max(most, model.busy)
                    await asyncio.sleep(0.01)
            for _ in range(100):
                most = max(most, model.busy)
                await asyncio.sleep(0.01)
            enough.set()
            await asyncio.gather(*clients)
            assert most <= limit


async def test_trials_of_keys_are_answered_later_and_later_and_right_keys_at_once(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        wrong = {"x-api-key": "gs-wrong-and-long-enough-0"}
        for _ in range(FREE_TRIALS):
            assert (await router.ask(chat(), headers=wrong)).status == 401
        began = loop.time()
        tried = asyncio.create_task(router.ask(chat(), headers=wrong))
        assert (await router.ask(chat(), headers=bearer("lab"))).status == 200
        assert not tried.done(), "a trial is answered before a right key that came later"
        assert (await tried).status == 401 and loop.time() - began >= FIRST_WAIT_SECONDS
        many = await asyncio.gather(*(router.ask(chat(), headers=wrong, within=30.0) for _ in range(MOST_WAITING + 2)))
        statuses = sorted(answer.status for answer in many)
        assert statuses[-2:] == [429, 429] and statuses[0] == 401
        assert (await router.ask(chat())).status == 401, "no key at all is no trial"


async def test_a_client_that_leaves_while_its_answer_waits_leaves_its_line_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=log) as router,
    ):
        wrong = {"x-api-key": "gs-wrong-and-long-enough-0"}
        for _ in range(FREE_TRIALS):
            await router.ask(chat(), headers=wrong)
        for _ in range(MOST_WAITING + 4):
            left = asyncio.create_task(router.ask(chat(), headers=wrong))
            await until(lambda: any(c.exchange is not None for c in router.connections), what="its answer waits")
            left.cancel()
            await until(lambda: not router.connections, what="the client has left")
        last = await router.ask(chat(), headers=wrong)
        assert last.status == 401, "places of those who have left are still taken"
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["error"] for line in told} == {"policy_key_unknown"}
    assert [line["status"] for line in told].count(499) == MOST_WAITING + 4, (
        "trials that nobody waited for are not told"
    )
