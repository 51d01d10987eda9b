"""Keys that stand twice in an object are seen wherever they stand, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.repeated import UNREADABLE, said_in

TEXT = st.text('":\\\\ ,{}[]a\\n\\t', max_size=8)
VALUE = st.recursive(
    st.none() | st.integers(0, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
FORMS: list[dict[str, Any]] = [{"separators": (",", ":")}, {"indent": 1}, {"separators": (" ,\n", "\t : ")}]


@given(st.dictionaries(TEXT, VALUE, min_size=1, max_size=3), st.sampled_from(FORMS))
def test_a_body_whose_keys_are_there_once_is_read(tree: dict[str, Any], form: dict[str, Any]) -> None:
    assert said_in(json.dumps(tree, **form).encode(), tree) is tree


@given(st.dictionaries(TEXT, VALUE, min_size=1, max_size=3), TEXT, st.sampled_from(FORMS))
def test_a_key_twice_is_seen(tree: dict[str, Any], key: str, form: dict[str, Any]) -> None:
    inner = {**tree, key: 1}
    written = json.dumps({"x": [inner]}, **form)
    begin = written.index("{", 1) + 1
    twice = f"{written[:begin]}{json.dumps(key)}: 2,{written[begin:]}"
    assert json.loads(twice) == {"x": [inner]} and said_in(twice.encode()) is UNREADABLE


@pytest.mark.parametrize(
    "body", ['{"x": {"a" : 1, "a": 2}}', '{"x": {"a":1,"a"\n:2,"b":3}}', '{"x": {"\\u0061": 1, "a": 2}}']
)
def test_spaces_and_escapes_hide_none(body: str) -> None:
    assert said_in(body.encode()) is UNREADABLE
