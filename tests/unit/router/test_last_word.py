"""What a client is told when nobody could answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.machine.decisions import Candidate
from genset.router.machine.final_error import last_failed, none_tried, seconds_until, story_of
from tests.support.router.machines import cloud, house, machine, steps

MMPROJ = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"


def told(outcome: Outcome, *trail: str, words: str = "", status: int = 0, **more: Any) -> ErrorAnswer:
    failure = Failure(
        outcome, f"answered {status}" if status else "sent an answer that is no JSON object", status, words=words
    )
    name = trail[-1].partition(":")[0]
    return last_failed(
        failure, steps(*trail), 7, full=False, late=False, stories=[story_of(name, failure)], **{"hope": False, **more}
    )


def test_the_backends_own_words_are_told() -> None:
    answer = told(Outcome.SERVER_ERROR, "house:server_error:3ms", "house:server_error:4ms", words=MMPROJ, status=500)
    assert answer.message == (
        f'no backend could answer: house answered 500 "{MMPROJ}" (house:server_error:3ms, house:server_error:4ms)'
    )


def test_without_words_it_says_what_and_where() -> None:
    answer = told(Outcome.INVALID_RESPONSE, "c:invalid_response:1ms")
    assert answer.message == (
        "no backend could answer: c sent an answer that is no JSON object (c:invalid_response:1ms). "
        "Nothing is wrong with the request; it may be sent again"
    )


def test_words_stand_on_one_line_and_addresses_stay_in_the_log() -> None:
    assert story_of("c", Failure(Outcome.REJECTED, "answered 400", 400, words="a\r\n b\tc")) == 'c answered 400 "a b c"'
    lost = Failure(Outcome.UNREACHABLE, "could not connect to 10.0.0.7:80: Connection refused")
    assert story_of("c", lost) == "c could not be reached"


@pytest.mark.parametrize(
    ("outcome", "remedy"),
    [
        (Outcome.AUTH, "The operator of this router must renew the key of backend c;"),
        (Outcome.MODEL_NOT_FOUND, "The operator of this router must correct the model's name of backend c;"),
        (Outcome.UNREACHABLE, "Nothing is wrong with the request"),
    ],
)
def test_who_must_do_what(outcome: Outcome, remedy: str) -> None:
    answer = told(outcome, f"c:{outcome.value}:1ms")
    assert remedy in answer.message and answer.status == 502


@pytest.mark.parametrize(
    ("failure", "told_so"),
    [
        (Failure(Outcome.INVALID_RESPONSE, "sent no token in its first 256 KiB", 200), True),
        (Failure(Outcome.INVALID_RESPONSE, "sent an error inside a 200", words="bad role"), False),
        (Failure(Outcome.INVALID_RESPONSE, "sent an error inside the stream", 502), True),
        (Failure(Outcome.INTERRUPTED, "was lost"), True),
        (Failure(Outcome.SERVER_ERROR, "answered 500", 500), False),
        (Failure(Outcome.SERVER_ERROR, "answered 502", 502), True),
        (Failure(Outcome.SERVER_ERROR, "answered 524", 524), True),
        (Failure(Outcome.RATE_LIMITED, "answered 429", 429), False),
    ],
    ids=str,
)
def test_what_is_not_the_requests_fault_is_told_as_such(failure: Failure, told_so: bool) -> None:
    answer = last_failed(failure, steps(f"c:{failure.outcome.value}:1ms"), 7, full=False, late=False)
    assert ("Nothing is wrong with the request" in answer.message) is told_so


@pytest.mark.parametrize(
    ("outcome", "trail", "hope", "futile"),
    [
        (Outcome.AUTH, ["c:auth:1ms"], False, True),
        (Outcome.AUTH, ["c:auth:1ms"], True, False),  # the house was passed over, and may be back
        (Outcome.AUTH, ["house:server_error:1ms", "c:auth:1ms"], False, False),
        (Outcome.MODEL_NOT_FOUND, ["a:auth:1ms", "c:model_not_found:1ms"], False, True),
        (Outcome.UNSUPPORTED, ["c:unsupported:1ms"], False, True),
        (Outcome.REJECTED, ["c:rejected:1ms"], False, True),
        (Outcome.SERVER_ERROR, ["c:server_error:1ms"], False, False),
        (Outcome.RATE_LIMITED, ["c:rate_limited:1ms"], False, False),
        (Outcome.UNREACHABLE, ["c:unreachable:1ms"], False, False),
    ],
)
def test_whether_asking_again_is_useless(outcome: Outcome, trail: list[str], hope: bool, futile: bool) -> None:
    answer = told(outcome, *trail, hope=hope)
    assert answer.futile is futile and (b"x-should-retry: false\r\n" in answer.headers()) is futile


FUTILE_ANYWAY = {
    *("provider_auth", "provider_model_not_found", "provider_unsupported", "provider_context_exceeded"),
    *("provider_content_filter", "provider_rejected", "policy_model_not_found", "router_loop"),
}


@pytest.mark.parametrize("word", VOCABULARY)
def test_which_words_are_futile(word: str) -> None:
    wanted = (
        word in FUTILE_ANYWAY
        or word.startswith("caller_")
        or (word.startswith("policy_") and VOCABULARY[word].status < 500)
    )
    if VOCABULARY[word].status in (408, 409, 429):
        wanted = False
    assert error(word, "").futile is wanted


def test_a_conflict_is_tried_again_whatever_it_is_called() -> None:
    assert not ErrorAnswer(VOCABULARY["provider_rejected"], "", original=b"{}", status_override=409).futile


def test_retry_after_is_no_longer_than_the_router_waits() -> None:
    refusing, cut = cloud("refusing"), cloud("cut")
    refusing.failed(refusing.endpoints[0], Failure(Outcome.AUTH, "answered 401", 401), 100.0, 99.0, False)
    for n in range(12):
        cut.broke(cut.endpoints[0], 100.0, 99.0 + n, False, endpoint_only=False)
    candidates = [Candidate(backend, 0, b"") for backend in (refusing, cut)]
    assert seconds_until(100.0, candidates[:1], None) == 1, "nobody waits for a person to renew a key"
    assert 1 <= seconds_until(100.0, candidates, None) <= 20
    cut.switch.down = True
    cut.breaker.open_until = 1000.0
    assert seconds_until(100.0, candidates, None) == 5, "the way out is probed every 5 s"
    limited, idle = cloud("limited"), cloud("idle")
    candidates.append(Candidate(limited, 0, b""))
    assert seconds_until(100.0, candidates, 3.2, [limited]) == 4, "it said for how long"
    assert seconds_until(100.0, candidates, 3600.0, [limited]) == 5, "another one is looked at sooner"
    candidates.append(Candidate(idle, 1, b""))
    assert seconds_until(100.0, candidates, 3600.0, [limited]) == 1, "and this one would be asked at once"


def test_a_whole_number_of_seconds_is_not_rounded_up() -> None:
    closed = cloud("closed")
    for tenths in range(2000):
        now = tenths * 0.1
        closed.breaker.open_until = now + 20.0
        assert seconds_until(now, [Candidate(closed, 0, b"")], None) == 20, now


def test_every_different_story_is_told_once() -> None:
    one = machine(house(), cloud())
    one.begin(0.0)
    for story in ("house answered 500", "house answered 500", "cloud answered 401"):
        one.history.tells(story)
    one.trail.extend(steps("house:server_error:1ms", "house:server_error:1ms"))
    decision = one.failed(0.0, Failure(Outcome.REJECTED, "answered 400", 400))
    assert decision.answer.message.startswith("no backend could answer: house answered 500; cloud answered 401 (")  # type: ignore[union-attr]


def test_a_refusal_of_all_keys_and_models_names_both_remedies() -> None:
    a, b = cloud("a"), cloud("b")
    a.failed(a.endpoints[0], Failure(Outcome.AUTH, "answered 401", 401), 0.0, 0.0, False)
    b.failed(b.endpoints[0], Failure(Outcome.MODEL_NOT_FOUND, "answered 404", 404), 0.0, 0.0, False)
    decision = machine(a, b).begin(1.0)
    answer = decision.answer  # type: ignore[union-attr]
    assert answer.kind.word == "provider_auth" and answer.futile
    assert "renew the key of backend a and correct the model's name of backend b" in answer.message


@pytest.mark.parametrize("outcome", [Outcome.RATE_LIMITED, Outcome.SERVER_ERROR])
def test_who_must_renew_a_key_is_told_whatever_else_is_wrong(outcome: Outcome) -> None:
    a, b = cloud("a"), cloud("b")
    a.failed(a.endpoints[0], Failure(Outcome.AUTH, "answered 401", 401), 0.0, 0.0, False)
    for _ in range(3):
        b.failed(b.endpoints[0], Failure(outcome, "answered 429", 429, 30.0), 0.0, 0.0, False)
    answer = none_tried(1.0, [Candidate(backend, 0, b"") for backend in (a, b)], 600.0, 7)
    assert (answer.kind.word, answer.retry_after) == ("router_no_backend", 7)
    assert "must renew the key of backend a; the request is not at fault" in answer.message


@pytest.mark.parametrize(
    ("original", "shown"),
    [
        ({"error": {"message": "bad", "type": "x"}}, True),
        ({"error": {"message": "bad"}, "more": 1}, True),
        ({"error": {"message": ""}}, False),
        ({"error": {"message": ["bad"]}}, False),
        ({"error": {"detail": "bad"}}, False),
        ({"error": "bad"}, False),
        ({"detail": "bad"}, False),
        ({"object": "error", "message": "bad"}, False),
        ([{"error": {"message": "bad"}}], False),
        ("<html>bad", False),
    ],
)
@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_original_is_handed_on_where_libraries_find_its_words(original: Any, shown: bool, status: int) -> None:
    body = original.encode() if isinstance(original, str) else orjson.dumps(original)
    failure = Failure(Outcome.REJECTED, f"answered {status}", status, body=body, words="bad")
    trail = steps("c:rejected:1ms")
    answer = last_failed(failure, trail, 7, full=False, late=False, stories=[story_of("c", failure)])
    assert answer.status == status
    if shown:
        assert answer.body() == body
    else:
        error = orjson.loads(answer.body())["error"]
        assert error["message"] == f'no backend could answer: c answered {status} "bad" (c:rejected:1ms)'
        assert (error["type"], error["code"]) == ("provider_rejected", "upstream_rejected")
