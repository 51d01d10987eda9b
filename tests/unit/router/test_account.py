"""An account by itself: who is asked when, with a clock that the test moves."""

from __future__ import annotations

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.router.backends.account import Account, Accounts
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause
from genset.router.backends.credentials import Credentials
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.suspicion import REFUSAL_PROBE_SECONDS
from testbed.router_config import made as config_of

FILES = Credentials({"key": b"sk-1", "other": b"sk-2"}, "here")
UNPAID = Failure(Outcome.AUTH, "answered 402", 402)
DENIED = Failure(Outcome.AUTH, "answered 403", 403)


def backend(name: str, key: str | None = "key", host: str = "far.test") -> Backend:
    url = UrlTarget(base_url=f"https://{host}/v1", provider="openAICompatible", key_file=key)
    config = config_of(BackendConfig, name=name, kind="cloud", model=name, url=url)
    return Backend(config, FILES, lambda: 0.5)


def met(accounts: Accounts, one: Backend, failure: Failure | None, now: float) -> None:
    """The router's own request has met this."""
    one.verified(one.endpoints[0], "/chat/completions", failure, now, now)
    accounts.told(one, failure, now)


def made(*backends: Backend) -> tuple[Accounts, list[Backend]]:
    """Accounts, and the backends that they have asked for."""
    accounts, asked = Accounts(), []
    accounts.take(backends, 0.0)
    for one in backends:
        one.standing.attend(lambda endpoint, path, one=one: asked.append(one))  # type: ignore[misc]
    return accounts, asked


def account_of(accounts: Accounts, one: Backend) -> Account:
    found = accounts.of(one)
    assert found is not None
    return found


def names(backends: list[Backend]) -> list[str]:
    return [one.name for one in backends]


def test_who_shows_what_to_whom_is_one_account() -> None:
    a, b, other, elsewhere, nobody = (
        backend("a"),
        backend("b"),
        backend("c", "other"),
        backend("d", host="g.test"),
        backend("e", None),
    )
    accounts, _ = made(a, b, other, elsewhere, nobody)
    assert accounts.of(a) is accounts.of(b) and accounts.of(nobody) is None
    assert len({id(accounts.of(one)) for one in (a, other, elsewhere)}) == 3


def test_one_confirming_request_is_made_and_suspends_all() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, asked = made(a, b, c)
    met(accounts, a, UNPAID, 1.0)
    assert names(asked) == ["b"] and accounts.suspended(1.0) == []
    met(accounts, b, UNPAID, 1.1)
    assert names(accounts.suspended(1.1)[0].members) == ["a", "b", "c"] and c.refusals.known


def test_a_third_that_has_answered_since_keeps_it() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, _ = made(a, b, c)
    met(accounts, a, UNPAID, 1.0)
    c.spoke(c.endpoints[0], 1.05, "/chat/completions")
    met(accounts, b, UNPAID, 1.1)
    assert accounts.suspended(1.1) == [] and not c.refusals.known


def test_words_that_may_be_a_models_need_all() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, asked = made(a, b, c)
    for now, one in enumerate((a, b), 1):
        met(accounts, one, DENIED, float(now))
    assert accounts.suspended(2.0) == [] and names(asked) == ["b", "c"]
    met(accounts, c, DENIED, 3.0)
    assert len(accounts.suspended(3.0)) == 1


def test_another_ones_refusal_never_puts_off_who_was_not_asked() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, _ = made(a, b, c)
    met(accounts, a, UNPAID, 1.0)
    met(accounts, b, UNPAID, 1.0)
    (due,) = [refusal.probe_at for refusal in c.refusals.all(1.0)]
    for now in (5.0, 10.0, 11.0):
        met(accounts, a, UNPAID, now)
    assert [refusal.probe_at for refusal in c.refusals.all(11.0)] == [due] == [1.0 + REFUSAL_PROBE_SECONDS]
    account = account_of(accounts, a)
    assert [account.asks(one, 11.0) for one in (a, b, c)] == [True, False, True]


def test_it_ends_for_all_but_those_who_refuse_for_themselves() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, _ = made(a, b, c)
    met(accounts, a, UNPAID, 1.0)
    met(accounts, b, UNPAID, 1.0)
    met(accounts, c, None, 11.0)
    assert accounts.suspended(11.0) == [] and not c.refusals.known
    assert [refusal.probe_at for refusal in b.refusals.all(11.0)] == [11.0], "it is asked at once"
    met(accounts, a, None, 11.1)
    met(accounts, b, None, 11.2)
    assert not a.refusals.known and not b.refusals.known


def test_it_outlives_half_an_hour_while_one_still_refuses() -> None:
    a, b, c = backend("a"), backend("b"), backend("c")
    accounts, _ = made(a, b, c)
    for one in (a, b, c):
        met(accounts, one, UNPAID, 1.0)
    for now in range(10, 4000, 10):
        met(accounts, a, UNPAID, float(now))
    assert len(accounts.suspended(3995.0)) == 1
    assert [refusal.cause for refusal in c.refusals.all(3995.0)] == [Cause.AUTH]


def test_callers_alone_suspend_nothing() -> None:
    a, b = backend("a"), backend("b")
    accounts, _ = made(a, b)
    accounts.told(a, UNPAID, 1.0)  # which no backend has proved
    assert accounts.suspended(1.0) == []
