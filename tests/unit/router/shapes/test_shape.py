"""What is read of a request, and which routes take it by that."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from genset.contracts.route_config import ShapeConfig, ShapeTimeConfig
from genset.router.shapes import request_shape
from genset.router.shapes.daytime import Daytime
from genset.router.shapes.request_shape import READABLE, RequestShape
from genset.router.shapes.rule import ShapeRule
from genset.router.shapes.schema_size import MANY, MOST_NODES, size_of
from genset.router.shapes.texts import Prose, questions_in
from genset.router.shapes.walk import Walked

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC).timestamp()  # a Monday; in Berlin it is half past midnight, on Tuesday


def shape(request: dict[str, Any], *reads: str) -> RequestShape:
    found = RequestShape(frozenset(reads or READABLE), request, 7, NOW)
    found.look()
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [user(m) if isinstance(m, str) else m for m in messages], **fields}


CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "4"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHOICE = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}}}
NESTED = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}, "total": {"type": "number"}},
    "$defs": {"line": {"type": "object", "properties": {"text": {"type": "string"}, "price": {"type": "number"}}}},
}


def formed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (chat("hi"), {"promptTokens": 7, "answerTokens": MANY, "turns": 1, "tools": 0, "schema": 0, "systemWords": 0}),
        (chat("hi", max_tokens=50), {"answerTokens": 50}),
        (chat("hi", max_completion_tokens=60, max_tokens=50), {"answerTokens": 60}),
        (chat("a", {"role": "assistant", "content": "b"}, "c"), {"turns": 2, "openToolLoop": 0}),
        (chat({"role": "system", "content": "Be very brief."}, "hi"), {"systemWords": 3, "turns": 1}),
        (chat({"role": "developer", "content": [{"type": "text", "text": "two words"}]}, "hi"), {"systemWords": 2}),
        (chat("a", CALL, RESULT), {"openToolLoop": 1}),
        (chat("a", CALL, RESULT, "b"), {"openToolLoop": 1}),  # as clients of the Messages API write it
        (chat("a", CALL, RESULT, {"role": "assistant", "content": "4"}, "thanks"), {"openToolLoop": 0, "turns": 2}),
        (chat("a", tools=[TOOL, TOOL]), {"tools": 2, "forcedTool": 0}),
        (chat("a", tools=[TOOL], tool_choice="required"), {"forcedTool": 1}),
        (chat("a", tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}), {"forcedTool": 1}),
        (chat("a", tools=[TOOL], tool_choice={"type": "allowed_tools", "mode": "auto"}), {"forcedTool": 0}),
        (chat("a", functions=[{"name": "f"}], function_call={"name": "f"}), {"tools": 1, "forcedTool": 1}),
        (
            chat(user([{"type": "text", "text": "x"}, {"type": "image_url"}, {"type": "input_audio"}, {"type": "file"}])),
            {"images": 1, "audio": 1, "files": 1},
        ),
        (chat("a", **formed(CHOICE)), {"schema": 1, "enumsOnly": 1, "schemaFields": 2, "schemaDepth": 1}),
        (chat("a", **formed(NESTED)), {"schema": 1, "enumsOnly": 0, "schemaFields": 4, "schemaDepth": 3}),
        (chat("a", response_format={"type": "json_object"}), {"schema": 0, "schemaFields": 0}),
        ({"model": "m", "prompt": "Is it? Yes."}, {"turns": 1, "questions": 1}),
        ({"model": "m", "prompt": ["one?", "two"]}, {"questions": 1}),
        ({"model": "m", "prompt": [1, 2, 3]}, {"turns": 1, "questions": 0}),
        ({"model": "m", "input": ["ein Satz", "noch einer"]}, {"turns": 1}),
        ({"model": "m", "query": "Wer?", "documents": ["x"]}, {"questions": 1}),
        ({"model": "m"}, {"turns": 0, "codePercent": 0}),
        ({"model": "m", "messages": "no list"}, {"turns": 0}),
        (chat({"role": 7, "content": 8}, 5, user(None), user([None, 5, {"type": []}])), {"turns": 2, "images": 0}),
    ],
)  # fmt: skip
def test_what_is_read(request_: dict[str, Any], wanted: dict[str, int]) -> None:
    found = shape(request_).numbers
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("Why?", 1), ("Why?? Really?!", 1), ("see https://a.test/?q=1 and b", 0), ("a ? b : c", 1), ("¿Por qué? ¿Cuándo?", 2),
        ("为什么？怎么办？", 2), ("“Who?” he asked. (When?)", 2), ("x?.y", 0),
    ],
)  # fmt: skip
def test_questions(text: str, questions: int) -> None:
    assert questions_in(text) == questions


PYTHON = "def add(a, b):\n    total = a + b\n    return total == 4\n"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Please import the goods from Spain, and let us know.\nUse the new form.", 0, 0),
        (PYTHON, 60, 100),
        (f"What is wrong here?\n```python\n{PYTHON}```\nThanks", 50, 90),
        ("```\nthis is prose in a fence that never ends", 90, 100),
        ("Dear team,\nreturn the keys; leave the car = parked.\nKind regards", 0, 0),
        ("SELECT a FROM b WHERE c == 4;\n", 90, 100),
        ("| a | b |\n|---|---|\n| 1 | 2 |", 0, 0),
    ],
)
def test_how_much_is_code(text: str, least: int, most: int) -> None:
    assert least <= Prose(text).code_percent <= most


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Welche Unterlagen brauche ich für den Antrag?", "de"),
        ("WELCHE UNTERLAGEN BRAUCHE ICH FÜR DEN ANTRAG?", "de"),
        ("Quels documents faut-il\npour renouveler un passeport ?", "fr"),
        ("续签护照需要哪些文件？", "zh"),
        ("पासपोर्ट के नवीनीकरण के लिए कौन से दस्तावेज़ चाहिए?", "hi"),
        (f"Warum läuft das hier nicht?\n```python\n{PYTHON}```", "de"),
        (PYTHON, ""),
        ("PROJECT TAGGING CRITERIA", "en"),  # facebookresearch/fastText#1181: ko
        ("Bonjour à tous,\n\nmerci\r\npour le café", "fr"),  # #1079, comet-ml/opik#8492: one line at a time
        ("12345 67.8 9", ""),
        ("", ""),
        ("?!", ""),
        ("\ud83d \udc00 \x00", ""),
        ("https://www.example.org/en/where-are-the-documents/ Wo finde ich die Unterlagen dazu?", "de"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert shape(chat(text), "language").language == language


def test_a_short_word_has_the_language_of_what_was_said_before() -> None:
    assert shape(chat("Welche Unterlagen brauche ich dafür denn noch?", "ok"), "language").language == "de"


@pytest.mark.interpreted
def test_nothing_is_read_that_no_route_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    for name in (
        "walk",
        "schema_of",
        "size_of",
        "said_in",
        "words_in",
        "questions_in",
        "language_of",
        "Prose",
        "tools_of",
        "limit_of",
    ):
        real = getattr(request_shape, name)
        monkeypatch.setattr(request_shape, name, lambda *a, _n=name, _r=real: looked.append(_n) or _r(*a))
    one = chat(f"Why? {PYTHON}", **formed(CHOICE))
    for reads, wanted in {
        ("promptTokens",): [], ("answerTokens",): ["limit_of"], ("turns", "images"): ["walk"], ("tools",): ["tools_of"],
        ("schema",): ["schema_of"], ("schemaFields", "enumsOnly"): ["schema_of", "size_of"],
        ("systemWords",): ["walk", "words_in"],
        ("questions",): ["walk", "said_in", "questions_in"], ("codePercent",): ["walk", "said_in", "Prose"],
        ("language",): ["walk", "said_in", "Prose", "language_of"],
    }.items():  # fmt: skip
        looked.clear()
        shape(one, *reads)
        assert looked == wanted, reads
    looked.clear()
    rule = ShapeRule(ShapeConfig(time=ShapeTimeConfig(from_minute=0, until_minute=1440, days=(0,), time_zone="UTC")))
    assert rule.takes(RequestShape(frozenset(), one, 7, NOW)) and not looked, "the time needs nothing of the request"


@pytest.mark.parametrize(
    ("first", "until", "days", "zone", "holds"),
    [
        ("22:00", "06:00", [0], "UTC", True),
        ("22:00", "06:00", [1], "UTC", False),
        ("22:00", "06:00", [0], "Europe/Berlin", True),  # it is Tuesday there, in a night that began on Monday
        ("22:00", "06:00", [1], "Europe/Berlin", False),
        ("08:00", "18:00", [0, 1], "UTC", False),
        ("08:00", "18:00", [0], "America/Los_Angeles", True),
        ("00:00", "24:00", [1], "Europe/Berlin", True),
        ("23:30", "23:31", [0], "UTC", True),
        ("23:29", "23:30", [0], "UTC", False),
        ("00:00", "24:00", [0, 1], "Europe/Atlantis", False),
    ],
)
def test_times(first: str, until: str, days: list[int], zone: str, holds: bool) -> None:
    minutes = [60 * int(clock[:2]) + int(clock[3:]) for clock in (first, until)]
    config = ShapeTimeConfig(from_minute=minutes[0], until_minute=minutes[1], days=tuple(days), time_zone=zone)
    assert Daytime(config).holds(NOW) is holds


def _recursive() -> dict[str, Any]:
    return {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}


def _bomb() -> dict[str, Any]:
    """Each definition names the next one ten times: 10^9 nodes in a kilobyte or two."""
    definitions: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(9)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, "d9": {"enum": ["a"]}}}


@pytest.mark.parametrize(
    "schema",
    [_recursive(), _bomb(), {"anyOf": [{"enum": ["a"]}] * (MOST_NODES + 1)}, {"$ref": "#"}],
    ids=["recursive", "bomb", "wide", "itself"],
)
def test_a_schema_without_end_counts_as_too_large(schema: dict[str, Any]) -> None:
    """A schema that could not be read to its end must not pass for a small one."""
    size = size_of(schema)
    assert (size.fields, size.enums_only) == (MANY, False)


def test_a_request_that_is_built_to_be_slow_is_read_in_no_time() -> None:
    """Each of these is as large as a body may well be; what is looked at has bounds, so none takes much longer than a parse."""
    large = 2_000_000
    requests = {
        "question marks": chat("?" * large), "open fences": chat("```\n" * (large // 4)), "blank lines": chat("\n" * large),
        "one word": chat("a" * large), "parts": chat(user([{"type": "text", "text": "a"}] * (large // 30))),
        "messages": chat(*[user("a")] * (large // 30)), "system": chat({"role": "system", "content": "a " * large}, "a"),
        "marks": chat("()==!=&&||->=>::+= " * (large // 20)), "wide letters": chat("字" * (large // 3)),
        "parts of marks": chat(user([{"type": "text", "text": "?" * 10_000}] * 200)),
        "many system prompts": chat(*[{"role": "system", "content": "a b " * 20}] * (large // 100)),
    }  # fmt: skip
    shape(chat("warm up, please"))
    for about, request in requests.items():
        body = json.dumps(request)
        began = time.process_time()
        json.loads(body)
        parsed = time.process_time() - began
        began = time.process_time()
        shape(request)
        took = time.process_time() - began
        assert took < 10 * parsed + 0.05, f"{about}: {took:.3f} s, and parsing took {parsed:.3f} s"


def test_a_walked_request_holds_no_copies() -> None:
    text = "a" * 1000
    walked = Walked()
    walked.message({"role": "user", "content": text})
    assert walked.asked is text
