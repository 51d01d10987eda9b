"""Requests that the fast writer refuses are written from the client's own bytes: nothing else in them changes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from genset.router.http.as_sent import as_sent, members
from genset.router.http.bodies import read

ROOM = 1 << 40
NAMES = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(['a"b', "\\", "{", "},", "a:"])
TEXTS = NAMES | st.sampled_from(["\ud83d", '","x":1', "\\\\", "]}", "\ude00\ud83d"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.dictionaries(NAMES.map(str.lower), VALUES, max_size=5)


def unlike(request: dict[str, Any]) -> bool:
    """No two keys that are refused for being alike."""
    return len({key.casefold() for key in request}) == len(request)


@given(REQUESTS.filter(unlike), st.sampled_from([None, 1]), st.booleans())
@example({"messages": ["\ud83d", 2**70]}, None, True)
@example({"\U00010000": "\ud83d", "\U00010001": None}, None, True)
@example({"\\ud83d": "\\\ud83d", "\\ud83e": "\\ud83d\ude00", "\\\U00010000": 1, "\\\U00010001": "\ude00"}, None, True)
def test_what_is_not_changed_is_not_touched(request: dict[str, Any], indent: int | None, escaped: bool) -> None:
    body = json.dumps(request, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    if b"\xed\xa0" in body or b"\xed\xb8" in body:
        return  # raw halves are no JSON
    parsed = read(body, ROOM)
    own = members(body)
    assert list(own) == list(parsed) and {key: json.loads(value) for key, value in own.items()} == request
    changed = {**parsed, "model": "large", "stream": True}
    written = as_sent(body, parsed, changed)
    assert json.loads(written) == changed
    assert all(own[key] in written for key in parsed if key not in ("model", "stream"))


def test_a_list_grows_behind_its_own_entries() -> None:
    body = b'{"messages":[ {"a":1e0, "b":18446744073709551616} ], "x": 0.10}'
    parsed = read(body, ROOM)
    longer = {**parsed, "messages": [*parsed["messages"], {"role": "assistant"}]}
    assert as_sent(body, parsed, longer) == (
        b'{"messages":[ {"a":1e0, "b":18446744073709551616} ,{"role":"assistant"}],"x":0.10}'
    )
    for other in ([], [{"role": "user"}], [{"a": 1.0, "b": 2**64}, 3], "text", None):
        assert json.loads(as_sent(body, parsed, {**parsed, "messages": other}))["messages"] == other
    renamed = {"max_tokens": 2**70, "y": parsed["messages"]}
    assert json.loads(as_sent(body, parsed, renamed)) == {"max_tokens": 2**70, "y": [{"a": 1.0, "b": 2**64}]}


def test_an_empty_object_has_no_members() -> None:
    assert members(b" { } ") == {} and as_sent(b"{}", {}, {"stream": True}) == b'{"stream":true}'
