"""Which spellings of the router's own keys never leave it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.mask import HIDDEN, LEAST_KEY_BYTES, RETIRED_KEYS, Mask, secrets_of_proxy

KEY = 'sk-proj-Ab1/cd+ef==&<x>"q'
PLAIN = "sk-proj-0123456789abcdef"
QUOTED = {
    "as it is": KEY,
    "in JSON": json.dumps({"message": f"you sent Bearer {KEY}"}),
    "in JSON of PHP": json.dumps({"message": KEY}).replace("/", "\\/"),
    "in JSON of Go": json.dumps({"m": KEY}).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "in JSON inside a JSON text": json.dumps({"raw": json.dumps({"error": KEY})}),
    "in HTML": html.escape(f"<p>{KEY}</p>"),
    "in a URL": f"https://host/v1?key={quote(KEY, safe='')}&a=b",
    "twice": f"{KEY}{KEY}",
}


@pytest.mark.parametrize("case", QUOTED)
def test_every_spelling_is_hidden(case: str) -> None:
    hidden = Mask([KEY.encode()]).hide(QUOTED[case].encode())
    assert HIDDEN in hidden and b"Ab1" not in hidden, hidden


def test_what_is_not_a_key_stays_byte_for_byte() -> None:
    mask = Mask([PLAIN.encode()])
    for data in (b"", b"\xff\xfe\x00", b'{"a": "sk-proj-"}', b"Incorrect API key provided: sk-...cdef"):
        assert mask.hide(data) == data
    assert Mask().hide(PLAIN.encode()) == PLAIN.encode()


@pytest.mark.parametrize("cut", range(LEAST_KEY_BYTES, len(PLAIN)))
def test_a_key_that_a_bound_has_cut_is_hidden(cut: int) -> None:
    assert Mask([PLAIN.encode()]).hide_in("wrong key: " + PLAIN[:cut]) == "wrong key: ***"


def test_a_key_inside_another_one_leaves_no_rest() -> None:
    assert Mask([b"12345678", b"12345678-abcdefgh"]).hide(b"x 12345678-abcdefgh y 12345678") == b"x *** y ***"


def test_a_short_key_is_not_searched_for() -> None:
    assert Mask([b"key", b"", b"1234567"]).hide(b"the key is a key, 1234567") == b"the key is a key, 1234567"


def test_a_proxys_credentials_are_hidden_in_all_their_shapes() -> None:
    credentials = b"genset:long-password"
    mask = Mask(secrets_of_proxy(credentials))
    sent = base64.b64encode(credentials)
    assert mask.hide(b"a %b b %b c long-password" % (credentials, sent)) == b"a *** b *** c ***"
    assert secrets_of_proxy(b"") == []


def test_keys_of_earlier_configurations_are_hidden_and_bounded() -> None:
    old = [b"retired-%04d" % n for n in range(1000)]
    mask = Mask([b"current-1"], old)
    assert mask.hide(b"current-1 retired-0000") == b"*** ***"
    assert len(mask.secrets) == 1 + RETIRED_KEYS


@given(before=st.binary(max_size=50), after=st.binary(max_size=50), key=st.binary(min_size=8, max_size=40))
def test_no_key_survives(before: bytes, after: bytes, key: bytes) -> None:
    hidden = Mask([key]).hide(before + key + after)
    assert key not in hidden or key in HIDDEN * 20


def test_a_long_key_costs_no_more_than_its_bytes() -> None:
    """A token of a megabyte, and a body made of its beginning: looked at in a moment."""
    key = b"abcdefgh" * 100_000 + b"!"
    assert Mask([key]).hide(b"x" * 10 + key[:50_000]) == b"x" * 10 + HIDDEN
