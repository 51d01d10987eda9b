"""An account is suspended: one cause, told once, by requests of the router's own; nobody else's key is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Status, Step

OFTEN = Bounds(verify=VerifyTimeouts(look=0.1))
KEYS = {"key": b"sk-one", "other": b"sk-two"}
SPENT = Status(402, steps.error_body("Insufficient balance", "billing_error", "insufficient_balance"))
#: What a suspended account answers, and why the operator is told that it is.
REFUSALS = {
    "a key that is none": (steps.unauthorized(), "key"),
    "nothing left to pay with": (steps.quota_exhausted(), "unpaid"),
    "402": (SPENT, "unpaid"),
    "a suspended organisation": (
        Status(
            403, steps.error_body("Your organization is disabled", "invalid_request_error", "organization_disabled")
        ),
        "suspended",
    ),
    "a key that may do nothing": (
        Status(403, steps.error_body("No permission", "permission_error", "permission_denied")),
        "denied",
    ),
    "a deactivated account": (
        Status(401, steps.error_body("Deactivated", "invalid_request_error", "account_deactivated")),
        "suspended",
    ),
}


def model_of(received: Received) -> str:
    return str((received.json or {}).get("model"))


def refuses(step: Step, *models: str, key: str = "sk-one") -> Callable[[Received], Step | None]:
    """Refuses the models, and all of them if none is named, to a key."""

    def choose(received: Received) -> Step | None:
        asked = received.method == "POST" and key in received.headers.get("authorization", "")
        return step if asked and (not models or model_of(received) in models) else None

    return choose


def of_account(far: ScriptedUpstream, *names: str, key: str = "key") -> list[dict[str, Any]]:
    return [cloud(far.base_url, name, url={"keyFile": key}, model=name) for name in names]


async def told(router: RunningRouter) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await router.admin("/-/config")).json["outages"]
    return found


async def suspended(router: RunningRouter) -> list[list[str]]:
    return [item["backends"] for item in await told(router) if item["scope"] == "Provider"]


async def until_suspended(router: RunningRouter, *names: str, within: float = 6.0) -> None:
    async with asyncio.timeout(within):
        while await suspended(router) != ([list(names)] if names else []):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", REFUSALS)
async def test_one_refusal_moves_all_backends_of_the_account(tmp_path: Path, kind: str) -> None:
    step, why = REFUSALS[kind]
    async with ScriptedUpstream(choose=refuses(step)) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a", "b", "c"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
            await until_suspended(router, "a", "b", "c")
            clients = len(far.requests)
            answer = await router.ask(chat())
            assert answer.complete and answer.headers["x-genset-reason"] == "auth"
            assert len(far.requests) == clients, "a client's request met what is known"
            found = {item["scope"]: item for item in await told(router)}
            assert found["Provider"]["why"] == why and found["Backend"]["cause"] == "auth", (
                "older operators know no accounts"
            )
            if why != "denied":
                assert {model_of(own) for own in far.own[:2]} == {"a", "b"}, "one confirming request"


async def test_other_keys_at_the_same_host_are_untouched(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=refuses(steps.unauthorized())) as far:
        content = config(*of_account(far, "a", "b"), *of_account(far, "c", "d", key="other"))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            assert (await router.ask(chat())).headers["x-genset-backend"] == "c"
            await until_suspended(router, "a", "b")
            assert (await router.ask(chat())).headers["x-genset-backend"] == "c"
            assert all("sk-one" in own.headers["authorization"] for own in far.own), "nobody asked with the other key"


async def test_a_refused_model_takes_no_other_away(tmp_path: Path) -> None:
    denied = Status(403, steps.error_body("No access to model a", "permission_error", "permission_denied"))
    async with (
        ScriptedUpstream(choose=refuses(denied, "a")) as far,
        RunningRouter(tmp_path, config(*of_account(far, "a", "b", "c")), KEYS, bounds=OFTEN) as router,
    ):
        assert (await router.ask(chat())).headers["x-genset-backend"] == "b"
        await until(lambda: router.refusing == ["a"], within=5, what="the proved refusal")
        await asyncio.sleep(0.5)
        assert await suspended(router) == [] and router.refusing == ["a"]
        assert (await router.ask(chat())).headers["x-genset-backend"] == "b"


@pytest.mark.parametrize(
    "step", [REFUSALS["a key that may do nothing"][0], SPENT], ids=["denied", "a budget for each model"]
)
async def test_two_models_that_a_key_may_not_use_take_no_third_away_for_long(tmp_path: Path, step: Step) -> None:
    """Nobody has asked the third, which is good: in words that only an account has it is passed over until it was asked."""
    async with (
        ScriptedUpstream(choose=refuses(step, "a", "b")) as far,
        ScriptedUpstream() as near,
        RunningRouter(
            tmp_path,
            config(*of_account(far, "a", "b", "c"), house(near.base_url), tiers=[["a"], ["b"], ["house"], ["c"]]),
            KEYS,
            bounds=OFTEN,
        ) as router,
    ):
        assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
        await until(lambda: {"a", "b"} <= set(router.refusing), within=5, what="the proved refusals")
        await until(lambda: router.refusing == ["a", "b"], within=25, what="the third's own answer")
        await asyncio.sleep(0.5)
        assert await suspended(router) == [] and "c" in {model_of(own) for own in far.own}


@pytest.mark.parametrize("listed", [200, 401])
async def test_one_callers_mistake_is_no_accounts(tmp_path: Path, listed: int) -> None:
    """A gateway answers 401 with account words to what one caller sends, whatever its list of models says."""

    def choose(received: Received) -> Step | None:
        if received.method == "GET" and listed == 401:
            return steps.unauthorized()
        return steps.unauthorized() if b"poison" in received.body else None

    async with ScriptedUpstream(choose=choose) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a", "b"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            for number in range(6):
                await router.ask(chat(messages=[{"role": "user", "content": f"poison {number}"}]))
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert await told(router) == [] and router.refusing == []
            assert (await router.ask(chat())).headers["x-genset-backend"] == "a"


async def test_a_server_that_refuses_every_caller_and_no_probe_takes_nobody_else_away(tmp_path: Path) -> None:
    """It answers the router's own requests, and everybody else's with 401."""
    refuses_callers = ScriptedUpstream(choose=lambda r: steps.unauthorized() if b"ping" not in r.body else None)
    async with refuses_callers as broken, ScriptedUpstream() as far:
        content = config(*of_account(broken, "a", "b"), *of_account(far, "c", "d"))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            for number in range(4):
                answer = await router.ask(chat(user=str(number)))
                assert answer.complete and answer.headers["x-genset-backend"] == "c"
            assert await suspended(router) == [] and not far.own


async def test_one_host_with_one_key_is_one_account_and_another_host_is_not(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=refuses(steps.unauthorized())) as far, ScriptedUpstream() as other:
        content = config(*of_account(far, "a", "b"), *of_account(other, "c"))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            assert (await router.ask(chat())).headers["x-genset-backend"] == "c"
            await until_suspended(router, "a", "b")
            assert (await router.ask(chat())).headers["x-genset-backend"] == "c" and not other.own


async def test_an_account_of_one_backend_is_told_as_that_backend(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=refuses(SPENT)) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            await router.ask(chat())
            await until(lambda: router.refusing == ["a"], within=5, what="the proved refusal")
            (only,) = await told(router)
            assert (only["scope"], only["backend"], only["why"]) == ("Backend", "a", "unpaid")


async def test_one_backend_is_asked_for_all_and_brings_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = True
    step = steps.unauthorized()

    def choose(received: Received) -> Step | None:
        return step if closed and received.method == "POST" else None

    async with ScriptedUpstream(choose=choose) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a", "b", "c", "d"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            await router.ask(chat())
            await until_suspended(router, "a", "b", "c", "d")
            await until(
                lambda: {model_of(own) for own in far.own} == {"a", "b", "c", "d"}, within=60, what="each was asked"
            )
            known = len(far.own)
            await asyncio.sleep(12)
            assert 1 <= len(far.own) - known <= 2, "from then on one is asked for all"
            began = asyncio.get_running_loop().time()
            closed = False
            await until_suspended(router, within=30)
            assert asyncio.get_running_loop().time() - began < 30, "back within 30 s"
            await until(lambda: router.refusing == [], within=10, what="each was asked again")
            assert (await router.ask(chat())).headers["x-genset-backend"] == "a"


async def test_a_new_key_ends_it(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=refuses(steps.unauthorized())) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a", "b"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            await router.ask(chat())
            await until_suspended(router, "a", "b")
            (router.credentials_dir / "key").write_bytes(b"sk-new")
            await until_suspended(router)
            assert (await router.ask(chat())).headers["x-genset-backend"] == "a"


async def test_a_backend_that_joins_a_suspended_account_is_suspended(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=refuses(steps.unauthorized())) as far, ScriptedUpstream() as near:
        content = config(*of_account(far, "a", "b"), house(near.base_url))
        async with RunningRouter(tmp_path, content, KEYS, bounds=OFTEN) as router:
            await router.ask(chat())
            await until_suspended(router, "a", "b")
            router.write(config(*of_account(far, "a", "b", "new"), house(near.base_url), generation=2))
            await until_suspended(router, "a", "b", "new")
            spent = len(far.requests)
            assert (await router.ask(chat())).headers["x-genset-backend"] == "house" and len(far.requests) == spent
