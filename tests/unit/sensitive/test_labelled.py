"""How well sensitive content is found, on a labelled set; what is said of it in docs/data-zones.md is held here."""

from __future__ import annotations

import base64
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.sensitive import detector as detector_module
from genset.sensitive.detector import TOO_MUCH, UNREADABLE, detector
from genset.sensitive.engine import BadPattern
from genset.sensitive.kinds import KINDS
from genset.sensitive.texts import MOST_CHARACTERS
from tests.unit.sensitive.labelled import FOUND, NOTHING

EVERYTHING = detector(tuple(KINDS))


def asked(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def test_the_set_is_large_enough() -> None:
    assert len(FOUND) + len(NOTHING) > 250 and {kind for _, kind in FOUND} == set(KINDS)


@pytest.mark.parametrize(("text", "kind"), FOUND, ids=lambda value: repr(value)[:40])
def test_what_is_there_is_found(text: str, kind: str) -> None:
    assert EVERYTHING.found(asked(text)) == (kind,), "a request that should stay in the house would leave it"


def test_nothing_is_found_where_nothing_is() -> None:
    assert {text: found for text in NOTHING if (found := EVERYTHING.found(asked(text)))} == {}


@pytest.mark.parametrize(
    ("countries", "kind", "text"),
    [
        (("DE",), "phone", "Rufen Sie 030 2270 an"),
        (("DE",), "phone", "Tel. 0211/884-0"),
        (("FR",), "phone", "au 01 40 63 60 00"),
        (("US",), "phone", "call (202) 224-3121"),
        (("GB",), "phone", "on 020 7219 3000"),
        (("DE",), "taxId", "Steuernummer 181/815/08155"),
        (("US",), "taxId", "EIN 91-1144442"),
        (("NL",), "nationalId", "BSN 111222333"),
        (("PL",), "nationalId", "PESEL 44051401359"),
        (("GB",), "nationalId", "NHS 943 476 5870"),
        (("SE",), "nationalId", "880320-0016"),
    ],
)
def test_forms_of_a_country(countries: tuple[str, ...], kind: str, text: str) -> None:
    assert detector((kind,), countries).found(asked(text)) == (kind,)
    assert not detector((kind,)).found(asked(text)), "any number might be one: only who names the country wants that"


def test_how_often_any_number_is_taken_for_one() -> None:
    """The shares that the page states, of 2,000 random numbers of each length."""
    chance = random.Random(7)
    for digits, most in (
        (8, 0.0),
        (9, 0.0),
        (10, 0.0),
        (11, 0.01),
        (12, 0.0),
        (13, 0.03),
        (15, 0.02),
        (16, 0.04),
        (20, 0.0),
    ):
        numbers = [str(chance.randrange(10 ** (digits - 1), 10**digits)) for _ in range(2000)]
        assert sum(bool(EVERYTHING.found(asked(number))) for number in numbers) <= most * len(numbers), digits


IBAN = "DE89370400440532013000"
ARGUMENTS = json.dumps({"to": IBAN})
PLACES: list[dict[str, Any]] = [
    {"messages": [{"role": "system", "content": IBAN}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": IBAN}]}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "pay", "arguments": ARGUMENTS}}]}]},
    {"messages": [{"role": "tool", "tool_call_id": "1", "content": IBAN}]},
    {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "description": IBAN}}]},
    {"input": IBAN}, {"input": ["a", IBAN]}, {"prompt": ["a", IBAN]}, {"suffix": IBAN},
    {"query": "a", "documents": ["b", {"text": IBAN}]}, {"text_1": "a", "text_2": [IBAN]},
    {"messages": [], "prediction": {"type": "content", "content": IBAN}}, {"metadata": {"account": IBAN}},
    {"a field of tomorrow": {"deep": [[{"x": IBAN}]]}}, {"card": 4111111111111111},
    {"system": [{"type": "text", "text": IBAN}]}, {"instructions": IBAN}, {IBAN: 1}, {"x": {"jan.kowalski@firma.de": []}},
    {"messages": [{"content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": IBAN}}]}]},
    {"text": {"format": {"type": "json_schema", "schema": {"properties": {"id": {"description": IBAN}}}}}},
    {"messages": [{"content": [{"type": "text", "text": f"data:text/plain;base64, an {IBAN}"}]}]},
    {"input": [{"type": "function_call_output", "call_id": "1", "output": json.dumps({"data": IBAN})}]},
]  # fmt: skip


@pytest.mark.parametrize("request_", PLACES, ids=lambda value: next(iter(value)))
def test_wherever_it_stands(request_: dict[str, Any]) -> None:
    assert EVERYTHING.found(request_)


@pytest.mark.parametrize("name", ["to", "id", "type", "data", "format", "model", "role", "detail", "file_data"])
@pytest.mark.parametrize("value", [IBAN, [IBAN], {"x": {"id": IBAN}}, {IBAN: 1}], ids=["text", "list", "deep", "name"])
def test_what_a_caller_fills_as_he_likes_is_looked_at_whole(name: str, value: Any) -> None:
    """Tools name their arguments as they want, as the API's own words, too."""
    call = {"type": "tool_use", "id": "1", "name": "pay", "input": {name: value}}
    assert EVERYTHING.found({"messages": [{"role": "assistant", "content": [call]}]}) == ("iban",)
    assert EVERYTHING.found({"input": [{"type": "function_call", "arguments": {name: value}}]}) == ("iban",)
    assert EVERYTHING.found({"metadata": {name: value}}) == ("iban",)


@pytest.mark.parametrize("number", ["4111111111111111", "36574261809", "+4930227032251", "GB29NWBK60161331926819"])
@pytest.mark.parametrize("cuts", [(5,), (9,), (4, 8), (3, 6, 9)])
@pytest.mark.parametrize("before", ["You are a bank", "It costs 12 EUR."])
def test_a_number_in_parts_behind_another_part(number: str, cuts: tuple[int, ...], before: str) -> None:
    parts = [number[begin:end] for begin, end in zip((0, *cuts), (*cuts, None), strict=True)]
    messages = [{"role": "user", "content": part} for part in (before, *parts, "now")]
    assert EVERYTHING.found({"messages": messages})


def test_names_stand_between_no_halves_of_a_number() -> None:
    halves = {"first": IBAN[:9], "second": IBAN[9:]}
    call = {"type": "tool_use", "id": "1", "name": "pay", "input": halves}
    assert EVERYTHING.found({"messages": [{"role": "assistant", "content": [call]}]}) == ("iban",)


@given(
    st.integers(1, len(IBAN) - 1), st.integers(1, len(IBAN) - 1), st.booleans(), st.sampled_from(["", "Pay now", "7"])
)
def test_a_number_in_several_parts_is_one(first: int, second: int, messages: bool, before: str) -> None:
    if before:  # another part, to which it does not belong; the country's letters are not torn apart then
        first, second = max(2, first), max(2, second)
    parts = [part for part in (IBAN[: min(first, second)], IBAN[min(first, second) : max(first, second)],
                               IBAN[max(first, second) :]) if part]  # fmt: skip
    parts = [before, *parts] if before else parts
    if messages:
        request = {"messages": [{"role": "user", "content": part} for part in parts]}
    else:
        request = {"messages": [{"role": "user", "content": [{"type": "text", "text": part} for part in parts]}]}
    assert EVERYTHING.found(request) == ("iban",)


@pytest.mark.parametrize("request_", [{"input": [1, 2, 3]}, {"prompt": [[1, 2], [3]]}, {"input": ["text", [4]]}])
def test_tokens_cannot_be_read_and_stay(request_: dict[str, Any]) -> None:
    assert EVERYTHING.found(request_) == (UNREADABLE,)


def test_too_much_text_stays() -> None:
    assert EVERYTHING.found(asked("a " * (MOST_CHARACTERS // 2 + 1))) == (TOO_MUCH,)


def test_pictures_are_not_looked_at() -> None:
    picture = "data:image/png;base64," + "DE89370400440532013000/" * 9
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_audio", "input_audio": {"data": "4111111111111111"}},
    ]
    assert not EVERYTHING.found({"messages": [{"role": "user", "content": parts}]})


TABLE = f"name;konto\nJan Müller;{IBAN}\n"
AS_FILES = [
    ("text/csv", TABLE.encode()),
    ("application/octet-stream", TABLE.encode()),
    ("text/plain", TABLE.encode("utf-16")),
    ("text/plain", TABLE.encode("utf-8-sig")),
    ("text/csv", TABLE.encode("cp1252")),
    ("text/csv", b"a;b\n" * 5000 + TABLE.encode()),
    ("image/svg+xml", f"<svg>{IBAN}</svg>".encode()),
    ("application/json", json.dumps({"x": TABLE}).encode()),
]


@pytest.mark.parametrize(("kind", "file"), AS_FILES)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_attached_files_that_are_text_are_read(kind: str, file: bytes, encode: Any) -> None:
    encoded = encode(file).decode()
    url = f"data:{kind};base64,{encoded}"
    for part in (
        {"type": "file", "file": {"filename": "a", "file_data": url}},
        {"type": "input_file", "file_data": url.rstrip("=\n")},
        {"type": "document", "source": {"type": "base64", "media_type": kind, "data": encoded}},
        {"type": "image_url", "image_url": {"url": url}},
    ):
        assert EVERYTHING.found({"messages": [{"role": "user", "content": [part]}]}) == ("iban",)


NO_TEXT = [
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"0000000016 00000 n \n4111111111111111\n" * 99, b"PK\x03\x04" + b"4111111111111111" * 99,
    b"\x89PNG\r\n\x1a\n" + b"4111111111111111" * 99, b"RIFF\x00\x00WAVE 4111111111111111",
]  # fmt: skip


@pytest.mark.parametrize("file", NO_TEXT)
def test_attached_files_that_are_no_text_are_not_looked_at(file: bytes) -> None:
    source = {"type": "base64", "media_type": "text/plain", "data": base64.b64encode(file).decode()}
    assert not EVERYTHING.found({"messages": [{"content": [{"type": "document", "source": source}]}]})


def test_a_pattern_in_another_script_finds_what_it_says() -> None:
    """Letters that look like Latin ones are read so in a copy, beside what is written."""
    found = detector((), (), (("passport", "\u0410\u0412\\d{6}"), ("percent", "100%25")))
    assert found.found(asked("\u2116 \u0410\u0412123456")) == ("passport",) and found.found(asked("100%25")) == (
        "percent",
    )


@pytest.mark.parametrize(
    "unit",
    ["DE", "DE89 ", "4111 ", "4111111111111112 ", "+49 1", "a@", "a.", "((((", "9", "1 2 3 ", "\\u00", "\u200b", "ﷺ",
     "%41", "%", "+%4", "&#49;", "&#x", "\u0391 1", "\\x4", "\\u{0"],
)  # fmt: skip
def test_hostile_text_is_looked_at_in_bounded_time(unit: str) -> None:
    """A second is what a busy machine may take for what needs a hundredth: it is quadratic work that this finds."""
    text = asked(unit * (MOST_CHARACTERS // len(unit) // 4))
    began = time.process_time()
    EVERYTHING.found(text)
    assert time.process_time() - began < 2.0


def test_patterns_of_the_house() -> None:
    found = detector((), (), (("case-number", r"AZ-\d{6}"), ("word", "(?i)geheim")))
    assert found.found(asked("zu AZ-123456")) == ("case-number",)
    assert found.found(asked("GEHEIM: AZ-１２３４５６")) == ("case-number", "word")
    assert not found.found(asked("AZ-12345"))


@pytest.mark.parametrize("regex", ["(a", r"(a)\1", "a*", "", "(?=a)a", "(x{1000}){1000}"])
def test_patterns_that_cannot_be_used(regex: str) -> None:
    with pytest.raises(BadPattern):
        detector((), (), (("a", regex),))


def test_a_set_that_gives_up_lets_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 tells of a set without memory as it tells of one that found nothing."""

    class Blind:
        def Match(self, text: bytes) -> None:
            return None

    made = detector_module.Detector(("iban",), (), ())
    monkeypatch.setattr(made._set, "_set", Blind())
    assert made.found(asked(IBAN)) == ("iban",)
