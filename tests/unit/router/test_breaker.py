"""Breakers and the retry budget, with a clock in the test's hand."""

from __future__ import annotations

import pytest

from genset.router.backends.breaker import Breaker, Cause, State
from genset.router.backends.retry_budget import RetryBudget


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
    for probed, bound in ((False, 20.0), (True, 15.0)):
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


# The section on breakers of the failover rules, row by row: "SECONDS WORD..." each an event or what must be true then.
# fail, ok: a request's or a probe's outcome. take: a request goes (half-open: with the token). lost: its client left.
# cool N: a 429 with that Retry-After (-: without). auth, model, no-endpoint: at once. open N: for N more seconds.
TIMELINES: dict[str, tuple[bool, list[str]]] = {
    "opens after three consecutive failures": (False, ["0 fail", "1 fail", "1 closed", "2 fail", "2 open 5"]),
    "a success between them begins anew": (False, ["0 fail", "0 fail", "1 ok", "2 fail", "2 fail", "2 closed"]),
    "opens when half of ten failed": (False, ["0 ok", "1 fail", "2 ok", "3 fail", "4 ok", "5 fail", "6 ok", "7 fail",
                                              "8 ok", "8 closed", "9 fail", "9 open 5"]),
    "nine are too few": (False, ["0 ok", "1 fail", "2 ok", "3 fail", "4 ok", "5 fail", "6 ok", "7 fail", "8 fail",
                                 "8 closed"]),
    "less than half is no reason": (False, ["0 ok", "0 ok", "0 ok", "1 fail", "2 ok", "3 fail", "4 ok", "5 fail", "6 ok",
                                            "7 fail", "8 ok", "9 fail", "9 closed"]),
    "what is older than thirty seconds is forgotten": (False, [
        "0 ok", "1 fail", "2 ok", "3 fail", "4 ok", "35 fail", "36 ok", "37 fail", "38 ok", "39 fail", "39 closed"]),
    "pauses double": (False, ["0 fail", "0 fail", "0 fail", "0 open 5", "5 half-open", "5 take", "6 fail", "6 open 10",
                              "16 take", "17 fail", "17 open 20"]),
    "the pauses' count is forgotten after a quiet minute": (False, [
        "0 fail", "0 fail", "0 fail", "5 take", "5 fail", "5 open 10", "15 take", "15 ok", "25 take", "25 ok",
        "25 closed", "86 fail", "86 fail", "86 fail", "86 open 5"]),
    "and kept within it": (False, [
        "0 fail", "0 fail", "0 fail", "5 take", "5 ok", "15 take", "15 ok", "15 closed", "74 fail", "74 fail", "74 fail",
        "74 open 10"]),
    "one request at a time while half-open": (False, [
        "0 fail", "0 fail", "0 fail", "4 refuses", "5 admits", "5 take", "5 refuses", "6 lost", "6 admits", "6 take",
        "6 refuses", "7 ok", "7 admits"]),
    "two successes, ten seconds apart, close": (False, [
        "0 fail", "0 fail", "0 fail", "5 take", "5 ok", "5 half-open", "14 take", "14 ok", "14 half-open", "15 take",
        "15 ok", "15 closed"]),
    "a single success never closes": (False, ["0 fail", "0 fail", "0 fail", "5 take", "5 ok", "60 half-open"]),
    "a failure between them opens again": (False, [
        "0 fail", "0 fail", "0 fail", "5 take", "5 ok", "10 take", "10 fail", "10 open 10", "20 take", "20 ok",
        "21 take", "21 ok", "21 half-open", "30 take", "30 ok", "30 closed"]),
    "probes alone lead back where they exist": (True, [
        "0 fail", "0 fail", "0 fail", "5 half-open", "5 refuses", "6 ok", "6 refuses", "15 ok", "15 refuses", "16 ok",
        "16 closed", "16 admits"]),
    "probes while open count for the return": (True, [
        "0 fail", "0 fail", "0 fail", "1 ok", "1 open 4", "4 ok", "5 half-open", "10 ok", "10 half-open", "11 ok",
        "11 closed"]),
    "a flapping backend starts the ten seconds anew": (True, [
        "0 fail", "0 fail", "0 fail", "1 ok", "8 ok", "9 bad", "10 ok", "19 ok", "19 half-open", "20 ok", "20 closed"]),
    "a short Retry-After is kept exactly, and proves nothing broken": (False, [
        "0 cool 2", "0 open 2", "1 refuses", "2 closed", "2 admits"]),
    "a long Retry-After is never cut short": (False, ["0 cool 40", "0 open 40", "39 refuses", "40 closed"]),
    "a Retry-After below the usual pause is not, above three seconds": (False, ["0 cool 4", "0 open 5"]),
    "no Retry-After backs off": (False, ["0 cool -", "0 open 5", "5 closed", "6 cool -", "6 open 10"]),
    "a Retry-After shortens no pause of what is broken": (False, [
        "0 fail", "0 fail", "0 fail", "1 cool 2", "1 open 4", "5 half-open"]),
    "nor does it excuse from the proof": (False, [
        "0 fail", "0 fail", "0 fail", "5 take", "5 cool 1", "6 half-open", "6 take", "6 ok", "16 take", "16 ok",
        "16 closed"]),
    "refused credentials are hard": (False, ["0 auth", "0 open 1800", "1 cool 2", "1 open 1799", "1 fail", "1 open 1799"]),
    "an unknown model is hard": (False, ["0 model", "0 open 300", "300 half-open", "300 take", "301 refuses"]),
    "no endpoint left: the first good probes lead back": (True, [
        "0 no-endpoint", "0 refuses", "3 ok", "4 ok", "12 refuses", "13 ok", "13 closed"]),
}  # fmt: skip


@pytest.mark.parametrize("row", TIMELINES)
def test_timeline(row: str) -> None:
    probed, steps = TIMELINES[row]
    one = breaker(probed=probed)
    token = False
    for step in steps:
        at, word, *number = step.split()
        now = float(at)
        match word:
            case "fail":
                one.failure(now, now, token)
                token = False
            case "ok":
                one.success(now, now, token)
                token = False
            case "bad":
                one.probe_failed()
            case "take":
                token = one.take(now)
                assert token or one.state is State.CLOSED, f"{step}: no request could go"
            case "lost":
                one.release()
            case "cool":
                one.cool(now, None if number == ["-"] else float(number[0]))
            case "auth" | "model" | "no-endpoint":
                cause, seconds = {
                    "auth": (Cause.AUTH, 1800.0), "model": (Cause.MODEL, 300.0), "no-endpoint": (Cause.NO_ENDPOINT, 0.0)
                }[word]  # fmt: skip
                one.trip(now, cause, seconds)
            case "admits" | "refuses":
                assert one.admits(now) is (word == "admits"), step
            case _:
                assert one.view(now) == word, f"{step}: it is {one.view(now)}"
                if number:
                    assert one.open_until - now == pytest.approx(float(number[0])), step


def test_retry_budget() -> None:
    budget = RetryBudget()
    assert [budget.take(0.0) for _ in range(6)] == [True] * 5 + [False], "a quiet backend has a handful"
    for _ in range(100):
        budget.request(1.0)
    assert sum(budget.take(1.0) for _ in range(50)) == 15, "a fifth of 100, 5 of which are spent"
    assert sum(budget.take(30.0) for _ in range(50)) == 5, "old seconds still count"


def test_a_later_refusal_makes_a_short_pause_longer() -> None:
    """Two requests at once: one is told to come back in 1 s, the other is told nothing."""
    one = breaker()
    one.cool(0.0, 1.0)
    one.cool(0.1, None)
    assert not one.admits(1.5) and one.open_until >= 5.0
    one.cool(0.2, 0.5)
    assert one.open_until >= 5.0, "and never shorter"
