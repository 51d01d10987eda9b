"""A line of the access log is one line of JSON with every field, whatever clients and servers have written into it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.errors import error
from genset.router.exchange.record import Record
from genset.router.machine.machine import RequestMachine
from genset.router.shared import Unrouted
from genset.router.telemetry import log_line
from genset.router.telemetry.log_line import FIELDS, line_of, short_line
from tests.support.router.machines import cloud, committed, house, machine

texts = st.text(max_size=20) | st.sampled_from(['"', "\\", "\n", "\u2028", "\x00", "é😀", "}{", "a\ud800"])


def record(model: str = "counting", *, named: bool = True, routed: RequestMachine | None = None) -> Record:
    one = Record(b"id-1", "10.0.0.9", {}, "POST /v1/chat/completions", "chat", model, 10.0, stream=True)
    one.named = model if named else ""
    one.routed = routed
    one.route = "route" if routed is not None else ""
    return one


def parsed(line: bytes) -> dict[str, Any]:
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    found = json.loads(line)
    assert list(found) == list(FIELDS)
    return dict(found)


@given(texts, texts, texts, st.booleans())
def test_whatever_is_in_it_stays_in_its_field(model: str, client: str, told: str, named: bool) -> None:
    routed = machine(house(), cloud())
    routed.begin(10.0)
    routed.failed(11.0, Failure(Outcome.SERVER_ERROR, told, 500, words=told))
    one = record(model, named=named, routed=routed)
    one.ended(502, "provider_error")
    line = parsed(line_of(one, client, 12.5, 1700000000.25))
    assert (line["model"], line["client"]) == (model, client)
    assert told in line["detail"]
    assert line["attempts"] == ["house:server_error:1000ms"]
    assert (line["time"], line["seconds"], line["status"], line["error"]) == (1700000000.25, 2.5, 502, "provider_error")
    short = parsed(
        short_line(Unrouted("10.0.0.8", {}, b"id-2", told, 400, error("caller_bad_request", told)), client, 5.0)
    )
    assert (short["client"], short["request"], short["detail"], short["id"]) == (client, told, told, "id-2")


def test_a_whole_answer() -> None:
    routed = committed(machine(house(), cloud()))
    one = record(routed=routed)
    one.begun, one.placed, one.waited = 10.25, True, 0.5
    one.first_token, one.tokens, one.trace = 11.0, (7, 5), b"a" * 32
    routed.succeeded(13.0)
    one.ended(200, "")
    line = parsed(line_of(one, "10.0.0.9", 13.0, 1700000000.0))
    times = [line[name] for name in ("queueSeconds", "waitedSeconds", "firstTokenSeconds", "timePerOutputTokenSeconds")]
    assert times == [0.25, 0.5, 1.0, 0.5]
    assert (line["inputTokens"], line["outputTokens"], line["traceId"]) == (7, 5, "a" * 32)
    assert (line["backend"], line["tier"], line["endpoint"], line["route"]) == ("house", 0, "10.0.0.1:80", "route")
    assert line["attempts"][0].startswith("house:ok:") and line["stream"] is True


def test_a_request_that_nobody_took_has_every_field_too() -> None:
    one = record("unknown", named=False)
    one.ended(404, "policy_model_not_found")
    line = parsed(line_of(one, "10.0.0.9", 10.0, 1.0))
    assert (line["backend"], line["tier"], line["attempts"], line["route"]) == ("", None, [], "")
    assert (line["firstTokenSeconds"], line["queueSeconds"]) == (None, 0.0)


def test_what_is_kept_has_a_bound() -> None:
    for number in range(3 * log_line.MOST_PARTS):
        line_of(record(f"model-{number}"), "", 1.0, 1.0)
        line_of(record(f"client's own {number}", named=False), "", 1.0, 1.0)
    assert len(log_line._stories) <= log_line.MOST_PARTS
    assert not any("own" in str(key) for key in log_line._stories)


def test_a_line_with_kept_parts_is_that_of_its_own_request() -> None:
    """Requests differ in all that parts of lines are kept by; each is told twice, the second time from what was kept."""
    shown = []
    for _ in range(2):
        for backend, word, stream, sensitive in (
            ("house", "", True, ()),
            ("house", "provider_error", True, ()),
            ("other", "", True, ()),
            ("house", "", False, ()),
            ("house", "", True, ("iban",)),
        ):
            routed = committed(machine(house(backend), cloud()))
            routed.succeeded(13.0)
            one = record(routed=routed)
            one.stream, one.sensitive = stream, sensitive
            one.ended(200, word)
            line = parsed(line_of(one, "10.0.0.9", 13.0, 1700000000.0))
            shown.append((line["backend"], line["error"], line["stream"], line["sensitive"], line["attempts"]))
            assert shown[-1][:4] == (backend, word, stream, list(sensitive)) and shown[-1][4][0].startswith(
                f"{backend}:ok:"
            )
    assert shown[:5] == shown[5:]
