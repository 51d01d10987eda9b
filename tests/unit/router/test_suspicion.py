"""What requests say against a backend, before it is proved: no sockets and no time."""

from __future__ import annotations

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause, State
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.suspicion import ASK_SECONDS, HEARD_SECONDS, REFUSAL_PROBE_SECONDS, Suspicion, Witness
from tests.support.router.machines import cloud, house, machine


class Asked:
    """Stands in for the task that asks for the router itself: notes what it was told to ask."""

    def __init__(self, *backends: Backend) -> None:
        self.asked: list[tuple[str, str]] = []
        for backend in backends:
            backend.standing.attend(lambda endpoint, path, name=backend.name: self.asked.append((name, path)))  # type: ignore[misc]


def meet(
    backend: Backend, outcome: Outcome, now: float, *, caller: str = "a", body: bytes = b"{}", path: str = "/x"
) -> None:
    """One request whose only attempt ends so."""
    one = machine(backend, origin=caller, body=body, path=path, stream=False, max_attempts=1)
    one.begin(now)
    one.sent(now)
    one.failed(now, Failure(outcome, "failed", status=500))


def test_one_caller_proves_nothing_however_often_he_asks() -> None:
    backend = cloud()
    asked = Asked(backend)
    for number in range(100):
        meet(backend, Outcome.SERVER_ERROR, number / 10, body=b"%d" % number)
    assert backend.breaker.state is State.CLOSED
    assert asked.asked == [("cloud", "/x")], "the router asks for itself, once at a time"


def test_the_routers_own_request_settles_it() -> None:
    for failure, state in ((None, State.CLOSED), (Failure(Outcome.SERVER_ERROR, "answered 500", 500), State.OPEN)):
        backend = cloud()
        Asked(backend)
        for number in range(3):
            meet(backend, Outcome.SERVER_ERROR, number / 10, body=b"%d" % number)
        backend.verified(backend.endpoints[0], "/x", failure, 1.0, 0.5)
        assert backend.breaker.state is state
        assert not backend.standing.suspicion.heard or state is State.OPEN


def test_callers_who_agree_prove_it_where_nobody_is_answered() -> None:
    backend = cloud()
    Asked(backend)
    for number, caller in enumerate("aba"):
        meet(backend, Outcome.TOO_LATE, 10.0 + number, caller=caller, body=caller.encode())
    assert backend.breaker.state is State.OPEN


def test_one_body_from_many_callers_proves_nothing() -> None:
    backend = cloud()
    Asked(backend)
    for number in range(20):
        meet(backend, Outcome.SERVER_ERROR, float(number), caller=f"10.0.0.{number}")
    assert backend.breaker.state is State.CLOSED


def test_an_answer_to_anybody_speaks_for_the_backend() -> None:
    backend = cloud()
    Asked(backend)
    for number, caller in enumerate("abcabc"):
        backend.spoke(backend.endpoints[0], 10.0 + number, "/x")
        for _ in range(5):
            meet(backend, Outcome.SERVER_ERROR, 10.0 + number, caller=caller, body=caller.encode())
    assert backend.breaker.state is State.CLOSED


def test_a_request_counts_once_though_it_was_sent_twice() -> None:
    backend = cloud()
    one = machine(backend, origin="a", body=b"{}", stream=False)
    one.begin(0.0)
    for moment in (0.0, 0.3):
        one.connecting()
        one.sent(moment)
        one.failed(moment, Failure(Outcome.SERVER_ERROR, "answered 500", 500))
    assert len(one.trail) == 2 and backend.breaker._window._consecutive == 1


def two_backends_fail(one_more: Backend | None) -> tuple[Backend, Backend]:
    first, second = cloud("first"), cloud("second")
    backends = [first, second, *([one_more] if one_more else [])]
    one = machine(*backends, origin="a", body=b"{}", stream=False, max_attempts=8)
    now = 0.0
    one.begin(now)
    for _ in range(4):  # each twice
        one.connecting()
        one.sent(now)
        one.failed(now, Failure(Outcome.SERVER_ERROR, "answered 500", 500))
        now += 1.0
    if one_more:
        one.connecting()
        one.sent(now)
        one.succeeded(now)
    return first, second


def test_a_body_that_fails_on_two_backends_convicts_itself() -> None:
    first, second = two_backends_fail(None)
    assert first.breaker._window._consecutive == second.breaker._window._consecutive == 0


def test_a_third_backend_that_takes_it_acquits_it() -> None:
    first, second = two_backends_fail(cloud("third"))
    assert first.breaker._window._consecutive == second.breaker._window._consecutive == 1


def test_a_connection_that_cannot_be_made_needs_no_proof() -> None:
    backend = cloud()
    for number in range(3):
        one = machine(backend, origin="a", body=b"{}", max_attempts=1)
        one.begin(float(number))
        one.failed(float(number), Failure(Outcome.UNREACHABLE, "could not connect"))
    assert backend.breaker.state is State.OPEN


def test_a_refused_key_is_a_suspicion_until_the_router_has_asked() -> None:
    backend = cloud()
    asked = Asked(backend)
    meet(backend, Outcome.AUTH, 0.0, path="/chat/completions")
    assert backend.admits(0.0) and asked.asked == [("cloud", "/chat/completions")]
    backend.verified(backend.endpoints[0], "/chat/completions", Failure(Outcome.AUTH, "answered 401", 401), 1.0, 0.5)
    assert backend.why_not(1.0, "/embeddings") == "auth", "the key is the same on every path"
    (refusal,) = backend.refusals.all(1.0)
    assert refusal.probe_at == 1.0 + REFUSAL_PROBE_SECONDS
    backend.verified(backend.endpoints[0], "/chat/completions", None, 61.0, 60.5)
    assert backend.admits(61.0) and not backend.refusals.known


def test_an_unknown_model_is_unknown_on_its_path_alone() -> None:
    backend = cloud()
    meet(backend, Outcome.MODEL_NOT_FOUND, 0.0, caller="a", body=b"1", path="/embeddings")
    meet(backend, Outcome.MODEL_NOT_FOUND, 0.1, caller="b", body=b"2", path="/embeddings")
    one = machine(backend, path="/embeddings")
    decision = one.begin(0.2)
    assert decision.answer.kind.word == "provider_model_not_found"  # type: ignore[union-attr]
    other = machine(backend, path="/chat/completions")
    assert other.begin(0.2).candidate.backend is backend  # type: ignore[union-attr]
    assert backend.refusals.of("/embeddings", 301.0) is None, "and not for ever"


def test_the_routers_own_request_that_is_refused_as_such_says_that_the_backend_works() -> None:
    backend = house(pods=1)
    Asked(backend)
    for number in range(3):
        meet(backend, Outcome.SERVER_ERROR, float(number), body=b"%d" % number)
    backend.verified(backend.endpoints[0], "/x", Failure(Outcome.REJECTED, "answered 400", 400), 4.0, 3.5)
    assert backend.admits(4.0) and backend.breaker._window._consecutive == 0


def test_one_bad_pod_of_three_is_left_alone_and_the_others_serve() -> None:
    backend = house(pods=3)
    bad = backend.endpoints[0]
    backend.verified(bad, "/x", Failure(Outcome.SERVER_ERROR, "answered 500", 500), 1.0, 0.5)
    assert bad.breaker.state is State.OPEN and backend.breaker.state is State.CLOSED


def test_a_testimony_is_forgotten() -> None:
    suspicion = Suspicion()
    assert not suspicion.hear(Cause.AUTH, "", Witness("a", 1, "/x"), 100.0)
    assert not suspicion.hear(Cause.AUTH, "", Witness("b", 2, "/x"), 101.0 + HEARD_SECONDS)
    assert suspicion.hear(Cause.AUTH, "", Witness("c", 3, "/x"), 102.0 + HEARD_SECONDS)


def test_the_router_asks_ever_so_often() -> None:
    suspicion = Suspicion()
    assert suspicion.may_ask(0.0) and not suspicion.may_ask(60.0), "one at a time"
    suspicion.asked(60.0)
    assert not suspicion.may_ask(60.0 + ASK_SECONDS - 0.1) and suspicion.may_ask(60.0 + ASK_SECONDS)
