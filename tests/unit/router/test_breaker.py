"""Breakers and the retry budget, with a clock in the test's hand."""

from __future__ import annotations

from genset.router.breaker import Breaker, Cause, RetryBudget, State


def breaker(**more: object) -> Breaker:
    return Breaker(lambda: 0.5, **more)  # type: ignore[arg-type]  # 0.5: no jitter


def opened(at: float = 0.0, **more: object) -> Breaker:
    one = breaker(**more)
    for _ in range(3):
        one.failure(at, at)
    return one


def test_three_consecutive_failures_open() -> None:
    one = breaker()
    assert [one.failure(0, 0), one.failure(0, 0)] == [False, False]
    one.success(0, 0)
    assert [one.failure(1, 1), one.failure(1, 1), one.failure(1, 1)] == [False, False, True]
    assert one.state is State.OPEN and one.cause is Cause.FAILURES and not one.admits(1)


def test_half_of_ten_in_thirty_seconds_open() -> None:
    one = breaker()
    for second in range(4):
        one.success(second, second)
        one.failure(second, second)
    one.success(5, 5)
    assert one.state is State.CLOSED
    assert one.failure(6, 6)
    two = breaker()
    for second in range(0, 200, 8):  # the same share, but never ten within the window
        two.success(second, second)
        assert not two.failure(second, second)


def test_pauses_double_up_to_their_bound() -> None:
    for probed, bound in ((False, 120.0), (True, 15.0)):
        one = breaker(probed=probed)
        now, pauses = 0.0, []
        for _ in range(3):
            one.failure(now, now)
        for _ in range(7):
            pauses.append(one.open_until - now)
            now = one.open_until
            one.failure(now, now)
        assert pauses == [min(5.0 * 2**n, bound) for n in range(7)]


def test_jitter_is_a_fifth() -> None:
    for chance, pause in ((0.0, 4.0), (1.0, 6.0)):
        one = Breaker(lambda chance=chance: chance)  # type: ignore[misc]
        for _ in range(3):
            one.failure(0, 0)
        assert round(one.open_until, 9) == pause


def test_half_open_lets_exactly_one_through() -> None:
    one = opened()
    assert not one.admits(4.9) and one.admits(5.0)
    assert one.take(5.0) and not one.admits(5.0) and not one.take(5.0)
    one.release()  # the client left
    assert one.take(6.0)
    one.failure(6.5, 6.0, True)
    assert one.state is State.OPEN and one.open_until == 6.5 + 10.0


def test_closes_after_two_successes_and_ten_healthy_seconds() -> None:
    one = opened()
    for now in (5.0, 7.0, 14.9):
        assert one.take(now)
        one.success(now, now, True)
        assert one.view(now) is State.HALF_OPEN
    assert one.take(15.1)
    one.success(15.1, 15.0, True)
    assert one.state is State.CLOSED


def test_a_failure_on_the_way_back_starts_again() -> None:
    one = opened()
    one.take(5.0)
    one.success(5.0, 5.0, True)
    one.take(14.0)
    one.failure(14.0, 13.0, True)
    assert one.state is State.OPEN and one.healthy_since is None


def test_what_began_before_the_outage_says_nothing() -> None:
    one = opened(at=10.0)
    one.success(16.0, 9.0)
    assert one.healthy_since is None
    one.success(16.0, 15.5)
    healthy = one.healthy_since
    assert healthy == 16.0
    one.failure(17.0, 9.5)  # a stall of a stream from before
    assert one.healthy_since == healthy


def test_probes_alone_lead_back_where_they_exist() -> None:
    one = opened(probed=True)
    assert not one.admits(6.0), "a request was sent to try what probes can try"
    one.success(6.0, 6.0)
    one.probe_failed()
    for second in range(7, 17):
        one.success(second, second)
        assert one.view(second) is not State.CLOSED
    one.success(17.0, 17.0)
    assert one.state is State.CLOSED


def test_retry_after() -> None:
    one = breaker()
    one.cool(0.0, 2.0)
    assert not one.admits(1.9) and one.admits(2.0), "a short Retry-After is kept exactly"
    one.cool(10.0, 40.0)
    assert not one.admits(49.0) and one.admits(50.0), "a long Retry-After is never cut short"
    two = breaker()
    two.cool(0.0, None)
    assert two.open_until == 5.0
    two.view(5.0)
    two.cool(6.0, None)
    assert two.open_until == 16.0, "429 after 429 without Retry-After must back off"


def test_a_harder_cause_is_not_overwritten() -> None:
    one = breaker()
    one.trip(0.0, Cause.AUTH, 1800.0)
    one.cool(1.0, 10.0)
    one.failure(2.0, 2.0)
    assert one.cause is Cause.AUTH and one.open_until == 1800.0
    two = opened()
    two.trip(1.0, Cause.AUTH, 1800.0)
    assert two.cause is Cause.AUTH


def test_retry_budget() -> None:
    budget = RetryBudget()
    assert [budget.take(0.0) for _ in range(6)] == [True] * 5 + [False], "a quiet backend has a handful"
    for _ in range(100):
        budget.request(1.0)
    assert sum(budget.take(1.0) for _ in range(50)) == 15, "a fifth of 100, 5 of which are spent"
    assert sum(budget.take(30.0) for _ in range(50)) == 5, "old seconds still count"
