"""A suspended account is told once, however routers tell of it, and its end once."""

from __future__ import annotations

from typing import Any

import pytest

from genset.contracts.router_admin import ConfigReport, OutageReport
from genset.status import outages
from genset.status.outline import Outline

NOW = "2026-11-21T10:00:00Z"
SINCE = "2026-11-21T09:58:00Z"
ACCOUNT = OutageReport("Provider", since=SINCE, detail="answered 401", why="suspended", backends=("b", "a"))


def key_of(name: str) -> OutageReport:
    return OutageReport("Backend", since=SINCE, detail="answered 401", backend=name, cause="auth", why="suspended")


def cloud(name: str, secret: str) -> dict[str, Any]:
    ref = {"name": secret, "key": "k"}
    return {"name": name, "cloud": {"provider": "openai", "model": name, "credentialsSecretRef": ref}}


def policy(*known: dict[str, Any]) -> Outline:
    tiers = [{"backends": [{"name": name}]} for name in ("a", "b", "c")]
    spec = {"backends": [cloud("a", "s"), cloud("b", "s"), cloud("c", "t")], "routes": [{"name": "r", "tiers": tiers}]}
    return Outline.of_refused({"spec": spec, "status": {"outages": list(known)}})


def evaluated(outline: Outline, *routers: tuple[OutageReport, ...]) -> list[dict[str, Any]]:
    heard = {f"router-{number}": ConfigReport("h", outages=told) for number, told in enumerate(routers)}
    return [found.model_dump(mode="json", exclude_none=True) for found in outages.evaluate(outline, heard, {}, NOW)]


@pytest.mark.parametrize(
    "second", [(), (key_of("a"),), (ACCOUNT, key_of("a"), key_of("b"))], ids=["not yet", "one", "all"]
)
def test_one_cause_is_told_once(second: tuple[OutageReport, ...]) -> None:
    (told,) = evaluated(policy(), (ACCOUNT, key_of("a"), key_of("b")), second)
    assert (told["scope"], told["reason"], told["backends"]) == ("Provider", "ProviderSuspended", ["a", "b"])
    assert told["account"] == "openai with key s/k" and "Ask the provider why" in told["message"]


def test_another_accounts_refusal_is_told_beside_it() -> None:
    told = evaluated(policy(), (ACCOUNT, key_of("a"), key_of("c")))
    assert [one["reason"] for one in told] == ["ProviderSuspended", "BackendAuthFailed"]
    assert "Requests of route r have no other backend" in told[0]["message"]


def test_a_backend_that_turns_out_to_be_one_of_an_account_is_not_called_restored() -> None:
    before = evaluated(policy(), (key_of("a"),))
    outline = policy(*before)
    after = outages.evaluate(outline, {"r": ConfigReport("h", outages=(ACCOUNT, key_of("a")))}, {}, NOW)
    assert [(kind, reason) for kind, reason, _ in outages.events(outline, after)] == [("Warning", "ProviderSuspended")]
    assert outages.passed_over(outline, after) == {"a", "b"}


def test_the_end_is_told_once() -> None:
    outline = policy(*evaluated(policy(), (ACCOUNT, key_of("a"), key_of("b"))))
    over = outages.evaluate(outline, {"r": ConfigReport("h")}, {}, NOW)
    assert over == [] and [(kind, reason) for kind, reason, _ in outages.events(outline, over)] == [
        ("Normal", "ProviderRestored")
    ]


def test_an_account_of_which_nobody_is_left_is_not_told() -> None:
    gone = OutageReport("Provider", since=SINCE, detail="answered 401", why="key", backends=("x", "y"))
    assert evaluated(policy(), (gone,)) == []


def test_it_goes_through_the_contract_and_older_operators_read_what_they_know() -> None:
    report = ConfigReport("h", outages=(ACCOUNT, key_of("a")))
    assert ConfigReport.from_json(report.to_json()) == report
    assert "backends" not in key_of("a").to_document()
