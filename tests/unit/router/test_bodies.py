"""Bodies of requests: what they may cost before they are parsed, and keys that say two things."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.anthropic import client_request
from genset.router.dialects.openai import aggregate
from genset.router.dialects.responses import request as responses_request
from genset.router.dialects.tolerant import has_long_number
from genset.router.http import bodies
from genset.router.http.bodies import COUNTED_BYTES, MOST_DEPTH, MOST_KEYS, NoRoom, again, read
from genset.router.http.body_cost import TREE_BYTES_PER_BYTE, RefusedBody, most_tree_bytes, parsing_bytes, tree_bytes
from genset.router.machine.added_fields import OPTIONS, STREAM, TWINS

ROUTER = Path(bodies.__file__).parent
ROOM = 1 << 40
MB = 1_000_000


def body(inner: bytes) -> bytes:
    return b'{"model":"assistant","messages":[],"x":[%b]}' % inner


def schema(number: int) -> dict[str, Any]:
    properties = {f"p{index}": {"type": "string", "description": f"number {index}"} for index in range(20)}
    parameters = {"type": "object", "properties": properties, "required": ["p0"]}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}


TEXT = 'one, two: [three], {"four": 5} and "six"\n'
HONEST: dict[str, Any] = {
    "a prompt of 30 MB with commas": {"model": "m", "prompt": TEXT * (30 * MB // len(TEXT))},
    "a message of 30 MB": {"model": "m", "messages": [{"role": "user", "content": TEXT * (28 * MB // len(TEXT))}]},
    "one of 10 MB with an emoji": {
        "model": "m",
        "messages": [{"role": "user", "content": "x" * 10 * MB + "\U0001f600"}],
    },
    "twenty pictures": {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Was ist das? \U0001f600"},
                    *({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_300_000}},) * 20,
                ],
            }
        ],
    },
    "2,048 strings": {"model": "m", "input": [TEXT * 100] * 2048},
    "numbers of tokens": {"model": "m", "prompt": list(range(100_000, 228_000))},
    "batches of them": {"model": "m", "input": [list(range(90_000, 90_512))] * 2048},
    "a bias for many tokens": {"model": "m", "messages": [], "logit_bias": {str(n): -100 for n in range(50_000)}},
    "tools of 2 MB": {"model": "m", "messages": [], "tools": [schema(number) for number in range(1800)]},
    "a long conversation": {"model": "m", "messages": [{"role": "user", "content": TEXT}] * 20_000},
    "Chinese": {"model": "m", "messages": [{"role": "user", "content": "你好，世界：" * 400_000}]},
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("ascii_only", [False, True], ids=["utf-8", "escaped"])
def test_honest_bodies_pass_within_the_default_pod(name: str, ascii_only: bool) -> None:
    """A router of 256 MiB has 192 for a body and what is made of it."""
    wanted = HONEST[name]
    data = json.dumps(wanted).encode() if ascii_only else orjson.dumps(wanted)
    assert read(data, 192 * 1024 * 1024 - len(data)) == wanted


ATTACKS = [b"[]", b"{}", b"0", b'""', b'{"k":0}', b'{"k":{}}', b"1e5", b'"\\""', b'"[[,,"', b"[0]", b"null", b"[[[]]]"]


@pytest.mark.parametrize("item", ATTACKS)
@pytest.mark.parametrize("size", [300_000, 31 * MB])
def test_a_tree_out_of_proportion_is_refused_before_it_is_made(item: bytes, size: int) -> None:
    data = body(b",".join([item] * (size // (len(item) + 1))))
    if tree_bytes(data) <= most_tree_bytes(len(data)):
        assert size < MB, "what is in no proportion is so at any size, but for the first MiB"
        assert len(read(data, ROOM)["x"]) == data.count(item)
        return
    with pytest.raises(RefusedBody, match=f"too many values: .*{TREE_BYTES_PER_BYTE} bytes per byte"):
        read(data, ROOM)


def test_what_stands_in_strings_costs_nothing() -> None:
    quoted = orjson.dumps("[{,:" * COUNTED_BYTES + '\\",[' * 1000)
    data = body(quoted)
    assert tree_bytes(data) < 1000 and read(data, ROOM)["x"] == [orjson.loads(quoted)]


def test_a_body_for_which_there_is_no_room_is_not_parsed() -> None:
    data = b'{"model":"m","prompt":"%b"}' % (b"x" * 10 * MB)
    needed = parsing_bytes(data)
    assert 20 * MB < needed < 23 * MB
    assert read(data, needed)["prompt"]
    with pytest.raises(NoRoom) as lack:
        read(data, needed - 1)
    assert lack.value.needed == needed


@pytest.mark.parametrize(
    ("text", "width"),
    [
        (b"x", 1),
        ("é".encode(), 1),
        ("ж".encode(), 2),
        ("\U0001f600".encode(), 4),
        (b"\\ud83d\\ude00", 4),
        (b"\\u0436", 2),
    ],
)
@pytest.mark.parametrize("place", ["first", "last", "elsewhere"])
def test_one_wide_character_makes_all_of_its_string_wide(text: bytes, width: int, place: str) -> None:
    filler = b"x" * 5 * MB
    strings = {"first": text + filler, "last": filler + text, "elsewhere": filler + b'","' + b"y" * 200_000 + text}
    data = b'{"model":"m","input":["%b"]}' % strings[place]
    needed = parsing_bytes(data) / len(data)
    wide = place != "elsewhere" and width > 1
    assert (width + 1.9 if wide else 2) <= needed < (width + 2.5 if wide else 3.5), needed
    (longest, *_) = sorted(read(data, ROOM)["input"], key=len, reverse=True)
    assert longest.__sizeof__() <= parsing_bytes(data) - len(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("key", ["messages", "x"])
def test_depth_is_bounded(opening: bytes, key: str) -> None:
    levels = opening.count(b"[") + opening.count(b"{")

    def nested(times: int) -> bytes:
        closing = b"".join(b"]" if byte == 0x5B else b"}" for byte in reversed(opening) if byte in b"[{")
        return b'{"model":"m","%b":%b0%b}' % (key.encode(), opening * times, closing * times)

    most = (MOST_DEPTH - 1) // levels
    assert read(nested(most), ROOM)["model"] == "m" and orjson.dumps(read(nested(most), ROOM))
    for times in (most + 1, 400):
        with pytest.raises(RefusedBody, match="nested too deeply"):
            read(nested(times), ROOM)
    with pytest.raises(orjson.JSONDecodeError):
        read(nested(2000), ROOM)


REPEATED = [
    b'{"model":"a","model":"b"}',
    b'{"model":"a","messages":[],"model":"a"}',
    b'{"model":"a","mod\\u0065l":"b","messages":[{"role":"user","content":"x: y"}]}',
    b'{"model" :"a","messages":[{"content":"a: b"}],\n"model"\t:\r"b"}',
    b'{"messages":[{"content":"a"}],"model":"a","messages":[{"content":"b"}]}',
    b'{"model":"a","messages":[{"content":"x"}],"tools":[1],"model":"b","stop":["s"]}',
    b'{"model":"a","stream_options":{"a":1},"stream_options":{"b":":"}}',
    b'{"model":"a","prompt":"%b","model":"b"}' % (b'say: \\"x\\" ' * 500),
    b'{"model":"a","tools":[{"model":":"}],"messages":[{"tools":1}],"tools":[]}',
    b'{"model":"a","":1,"":2}',
    b'{"model":"a","\xd0\xb6":1,"\\u0436":2}',
    b'{"model":"a","x":[%b],"y":1,"y":2}' % b",".join([b'"[:"'] * 100_000),
]


@pytest.mark.parametrize("data", REPEATED)
def test_a_key_that_is_there_twice_is_refused_by_name(data: bytes) -> None:
    assert orjson.loads(data)
    with pytest.raises(RefusedBody, match=r"the body has the key '.*' more than once"):
        read(data, ROOM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("model", "Model"),
        ("MODEL", "model"),
        ("messages", "mes\u017fages"),
        ("\u212aey", "key"),
        ("ж", "Ж"),
        ("ß", "SS"),
    ],
)
def test_keys_that_differ_in_case_only_are_refused(one: str, other: str) -> None:
    data = orjson.dumps({"model": "a", one: 1, "messages": ["x:y"], other: 2})
    with pytest.raises(RefusedBody, match="upper and lower case alike") as refusal:
        read(data, ROOM)
    assert repr(one) in str(refusal.value) and repr(other) in str(refusal.value)


@pytest.mark.parametrize("key", sorted(bodies._READ))
@pytest.mark.parametrize("spell", [str.upper, str.title, lambda key: key.replace("s", "\u017f").replace("k", "\u212a")])
def test_a_key_that_the_router_knows_is_spelled_so_or_refused(key: str, spell: Callable[[str], str]) -> None:
    """A lone `Stream` stands beside the router's own `stream` in what is sent."""
    odd = spell(key)
    data = orjson.dumps({"model": "m", odd: False} if key != "model" else {odd: "m"})
    if odd == key:
        assert read(data, ROOM)
        return
    with pytest.raises(RefusedBody, match=f"{odd!r}.* {key!r}"):
        read(data, ROOM)


def test_what_the_router_reads_is_known() -> None:
    assert aggregate._WHOLE_ONLY.keys() | {*TWINS, STREAM, OPTIONS} <= bodies._READ
    source = "".join(path.read_text() for path in ROUTER.rglob("*.py"))
    found = set(re.findall(r"\b(?:request|parsed|self\._json|body)(?:\.get\(|\[|\.pop\()\"(\w+)\"", source))
    assert found - {"error", "detail", "message", "msg", "base_resp", "messages"} <= bodies._READ
    for api in (client_request, responses_request):
        assert set(api._READ) | set(api._REFUSED) <= bodies._READ


def test_more_keys_than_any_request_has_are_refused() -> None:
    keys = [f'"\u0061\u00e9k{number}":1' for number in range(MOST_KEYS)]
    inside = f'{{"model":"m","x":{{{",".join(keys * 2)}}}}}'.encode()
    assert len(read(inside, ROOM)["x"]) == MOST_KEYS
    with pytest.raises(RefusedBody, match="more than 1024 keys"):
        read(f'{{"model":"m",{",".join(keys)}}}'.encode(), ROOM)


def test_upper_case_alone_is_not_refused() -> None:
    data = {"model": "a", "X-Team": 1, "keepAlive": 2, "metadata": {"model": 1, "Model": 2}}
    assert read(orjson.dumps(data), ROOM) == data


def test_keys_inside_are_not_our_affair() -> None:
    data = b'{"model":"m","messages":[{"role":"user","role":"user"}],"metadata":{"a":1,"a":2},"tools":[{"x":1}]}'
    assert read(data, ROOM) == orjson.loads(data)


keys = st.one_of(
    st.sampled_from(["model", "messages", "stream", "tools", "a", "", "x:y", 'q"q', "b\\", "[", "]", "{", "ж", "stop"]),
    st.text(max_size=3),
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=8), st.sampled_from([":", "[]", '],"a":['])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(keys, values), max_size=7),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]),
    st.booleans(),
    st.sampled_from(["", ":", "x" * 1200, ': "' * 500]),
)
def test_a_body_is_read_as_it_is_or_refused_for_a_key(
    pairs: list[tuple[str, Any]], separators: tuple[str, str], ascii_only: bool, long: str
) -> None:
    """Against the standard library, which tells all keys."""
    pairs = [("model", long), *((key, value) for key, value in pairs if key != "model")]

    def written(value: Any) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=ascii_only)

    data = ("{" + separators[0].join(written(k) + separators[1] + written(v) for k, v in pairs) + "}").encode()
    names = [key.casefold() for key, _ in pairs]
    if len(set(names)) == len(names) and all(
        key == key.casefold() or key.casefold() not in bodies._READ for key, _ in pairs
    ):
        assert read(data, ROOM) == dict(pairs)
    else:
        with pytest.raises(RefusedBody):
            read(data, ROOM)


# What is read as it was sent


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**60, 2**63, 7])
@pytest.mark.parametrize("pad", [0, 10, 100_000])
def test_whole_numbers_stay_what_they_are(number: int, pad: int) -> None:
    sent = {"model": "m", "prompt": "some words " * pad, "seed": number, "x": [{"y": number, "z": 0.5}]}
    for written in (json.dumps(sent), json.dumps(sent, indent=1)):
        assert read(written.encode(), ROOM) == again(written.encode()) == sent


@given(st.integers(0, 3000), st.integers(1, 40), st.integers(0, 60))
def test_a_long_number_is_found_wherever_it_stands(before: int, digits: int, behind: int) -> None:
    data = b"x" * before + b"7" * digits + b"y" * behind
    assert has_long_number(data) is (digits >= 19)


@given(
    st.lists(st.sampled_from([r"\ud83d", r"\uDE00", "a", r"\\", r"\\ud83d", "ü", r"\"", r"\n"]), min_size=1, max_size=8)
)
def test_half_characters_stay_what_they_are(parts: list[str]) -> None:
    written = '{"model":"m","messages":[{"role":"user","content":"%s"}],"x":1}' % "".join(parts)  # noqa: UP031
    assert read(written.encode(), ROOM) == again(written.encode()) == json.loads(written)


@pytest.mark.parametrize(
    "written",
    [
        rb'{"model":"m","x":"\ud83d","x":1}',
        rb'{"model":"m","x":"\ud83d","X":1}',
        b'{"model":"m","x":' + b"[" * 300 + rb'"\ud83d"' + b"]" * 300 + b',"pad":"' + b"x" * 400 + b'"}',
    ],
)
def test_half_characters_open_no_way_around_the_checks(written: bytes) -> None:
    with pytest.raises(RefusedBody):
        read(written, ROOM)


@pytest.mark.parametrize(
    "written",
    [
        rb'{"model":"\ud83d"}',
        rb'{"\ud83d":1}',
        rb'{"x":"\ud83d",}',
        rb'{"x":"\ud83d","y":NaN}',
        rb'{"x":"\ud83d","y":1e999}',
        b'{"x":"\\ud83d","y":"\xff"}',
        b'{"x":"\\ud83d","y":"\x01"}',
        b'{"x":"\xed\xa0\xbd"}',
    ],
)
def test_what_no_answer_holds_is_no_json(written: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        read(written, ROOM)
