"""A request that passes in its own API differs in a few values, and in no other byte. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.native import rewritten

_KEYS = st.sampled_from(["stream", "max_tokens", "a", "messages", "tools", 'q"', "b\\\\", "ж", "{", ":"])
_INSIDE = st.sampled_from(["model", "stream", "max_tokens", '"model":"x"', "\\"])
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 10**6), st.floats(-1, 1), st.text(max_size=4), _INSIDE)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(_INSIDE, _KEYS), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None)
@given(
    st.dictionaries(_KEYS, _VALUES, max_size=5),
    st.integers(0, 5),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]),
    st.booleans(),
    st.booleans(),
)
def test_other_values_and_nothing_else(
    body: dict[str, Any], at: int, separators: tuple[str, str], ascii_only: bool, spelled: bool
) -> None:
    pairs = list(body.items())
    pairs.insert(min(at, len(pairs)), ("model", "asked"))
    asked = dict(pairs)
    raw = json.dumps(asked, separators=separators, ensure_ascii=ascii_only).encode()
    if spelled:
        raw = raw.replace(b'"model"', b'"mod\\u0065l"')
    changed: dict[str, Any] = {"model": "told"}
    if body.get("stream") in (None, False):
        changed["stream"] = True
    if isinstance(body.get("max_tokens"), int):
        changed["max_tokens"] = 7
    made = rewritten(raw, changed, frozenset(asked))
    read = json.loads(made)
    assert read == {**asked, **changed} and list(read) == [*asked, *(key for key in changed if key not in asked)]


@pytest.mark.parametrize("space", [b"", b" ", b"\n  "])
def test_every_other_byte_stays(space: bytes) -> None:
    raw = b'{"temperature": 1.0,"model"%b:%b"m",  "messages":[{"content":"a \\"model\\""}]%b}\n' % (space, space, space)
    assert rewritten(raw, {"model": "other"}) == raw.replace(b'"m"', b'"other"')
    made = rewritten(raw, {"model": "m", "stream": True}, ("model",))
    assert made == raw.rstrip()[:-1] + b',"stream":true}\n'


def test_what_is_no_scalar_is_exchanged_all_the_same() -> None:
    assert json.loads(rewritten(b'{"model":"m","stream":{"a":1}}', {"stream": True}, ("model", "stream"))) == {
        "model": "m",
        "stream": True,
    }
