"""What `/-/state` keeps of failures: bounded, masked, nothing that is not asked for."""

from __future__ import annotations

from typing import Any

from genset.router.backends.failures import KEPT_FAILURES, FailureBook, masked
from genset.router.backends.mask import Mask
from genset.router.backends.outcomes import Failure, Outcome

KEY = b"sk-0123456789"
NOTHING = Mask()


def failure(words: str = "no", status: int = 500, body: bytes = b"") -> Failure:
    return Failure(Outcome.SERVER_ERROR, f"answered {status}", status, body=body, words=words)


def add(
    book: FailureBook, what: Failure, backend: str = "house", at: str = "now", mask: Mask = NOTHING, **more: Any
) -> None:
    more = {"headers": {}, "endpoint": "10.0.0.1:80", "request_id": "r", **more}
    book.add(backend, what, mask, at=at, **more)


def test_newest_first_and_no_more_than_a_few() -> None:
    book = FailureBook()
    for n in range(KEPT_FAILURES + 5):
        add(book, failure(f"failure {n}"))
    words = [shown["words"] for shown in book.view("house")]
    assert words == [f"failure {n}" for n in range(KEPT_FAILURES + 4, 4, -1)]
    assert book.view("cloud") == []


def test_the_same_again_takes_no_further_place() -> None:
    """One caller that repeats its mistake cannot push out what others have seen."""
    book = FailureBook()
    add(book, failure("another"))
    for n in range(1000):
        add(book, failure("the same"), at=f"t{n}", request_id=f"r{n}")
    last, first = book.view("house")
    assert (first["words"], last["words"], last["times"]) == ("another", "the same", 1000)
    assert (last["at"], last["lastAt"], last["requestId"]) == ("t0", "t999", "r999")


def test_one_kind_of_failure_pushes_out_only_itself() -> None:
    """A client that makes up a new mistake each time leaves the evidence of an outage where it is."""
    book = FailureBook()
    for n in range(3):
        add(book, failure(f"crash {n}"))
    for n in range(1000):
        add(book, Failure(Outcome.REJECTED, "answered 400", 400, words=f"mistake {n}"))
    words = [shown["words"] for shown in book.view("house")]
    assert words[-3:] == ["crash 2", "crash 1", "crash 0"] and words[0] == "mistake 999" and len(words) == KEPT_FAILURES


def test_bytes_are_bounded_over_all_backends() -> None:
    book = FailureBook(most_bytes=10_000)
    for n in range(100):
        add(book, failure(f"{n}" + "x" * 400, body=b"y" * 100_000), backend=f"b{n % 7}")
        assert book.bytes <= 10_000
    assert sum(len(book.view(f"b{n}")) for n in range(7)) == 7
    assert all(len(shown["body"]) == 500 for n in range(7) for shown in book.view(f"b{n}"))
    book.keep(["b1"])
    assert book.view("b2") == [] and len(book.view("b1")) == 1
    book.keep([])
    assert book.bytes == 0


def test_headers_are_chosen() -> None:
    book = FailureBook()
    headers = {
        b"content-type": b"text/html", b"set-cookie": b"secret", b"authorization": b"secret", b"x-ratelimit-limit": b"5",
        b"www-authenticate": b"secret", b"cf-ray": b"8f2", b"x-request-id": b"req_1", b"server": b"x" * 1000,
    }  # fmt: skip
    add(book, failure(), headers=headers)
    (shown,) = book.view("house")
    assert set(shown["headers"]) == {"content-type", "x-ratelimit-limit", "cf-ray", "x-request-id", "server"}
    assert len(shown["headers"]["server"]) == 200 and shown["upstreamRequestId"] == "req_1"
    many = FailureBook()
    add(many, failure(), headers={b"x-ratelimit-%d" % n: b"1" for n in range(1000)})
    assert len(many.view("house")[0]["headers"]) == 24


def test_keys_are_masked_before_a_bound_cuts_them() -> None:
    book, mask = FailureBook(), Mask([KEY])
    body = b"x" * 495 + KEY
    what = masked(Failure(Outcome.AUTH, "answered 401", 401, body=body, words="wrong key " + KEY.decode()), mask)
    assert what.words == "wrong key ***" and KEY not in what.body and what.outcome is Outcome.AUTH
    add(book, what, mask=mask, headers={b"server": KEY, b"request-id": KEY})
    shown = book.view("house")[0]
    assert shown["body"] == "x" * 495 + "***" and "sk-" not in str(shown)
    same = failure()
    assert masked(same, mask) is same, "what holds no key is not copied"
