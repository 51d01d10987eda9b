"""Which spellings of the router's own keys never leave it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.backends.mask import HIDDEN, LEAST_KEY_BYTES, RETIRED_KEYS, Mask, secrets_of_proxy

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
    "in a URL, slashes left": f"https://host/v1?key={quote(KEY)}",
    "in a URL, lower case": "?key=" + re.sub("%..", lambda found: found[0].lower(), quote(KEY, safe="")),
    "in a URL inside a URL": quote(f"?key={quote(KEY, safe='')}", safe=""),
    "in JSON, upper case": "".join(c if c.isalnum() else f"\\u{ord(c):04X}" for c in KEY),
    "in JSON, every letter": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "in HTML by numbers": "".join(c if c.isalnum() else f"&#{ord(c)};" for c in KEY),
    "in HTML by hexadecimal numbers": "".join(c if c.isalnum() else f"&#x{ord(c):02X};" for c in KEY),
    "in HTML by names": KEY.replace("&", "&amp;").replace("=", "&equals;").replace("/", "&sol;").replace("+", "&plus;"),
    "in HTML of HTML": html.escape(html.escape(KEY)),
    "in HTML inside JSON of Go": json.dumps(html.escape(KEY)).replace("&", "\\u0026").replace("<", "\\u003c"),
    "broken by a page": KEY[:9] + "<wbr>" + KEY[9:14] + "\r\n    " + KEY[14:],
    "broken by a page inside JSON": json.dumps(KEY[:9] + "\n\t" + KEY[9:]),
    "with soft hyphens": KEY[:9] + "\u00ad" + KEY[9:14] + "&shy;\u200b" + KEY[14:],
    "in base64": base64.b64encode(KEY.encode()).decode(),
    "in base64 behind other words": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "in base64 of a whole head": base64.encodebytes(
        f"POST /v1\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()
    ).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(f"Basic  {KEY}\xff".encode("latin-1")).decode(),
    "cut off inside quotes": f"in content-encoding '{KEY[:20]}' unasked",
    "cut off inside JSON": json.dumps({"message": f"wrong key {KEY[:18]}", "type": "x"}),
    "cut off and spelled otherwise": f"<a href='?key={quote(KEY[:20], safe='')}'>",
    "twice": f"{KEY}{KEY}",
}


@pytest.mark.parametrize("case", QUOTED)
def test_every_spelling_is_hidden(case: str) -> None:
    hidden = Mask([KEY.encode()]).hide(QUOTED[case].encode())
    assert HIDDEN in hidden, hidden
    for piece in (KEY[8:12], KEY[12:16], KEY[16:]):
        said = base64.b64encode(piece.encode()).rstrip(b"=")
        assert piece.encode() not in hidden and said not in hidden, hidden


def test_the_end_of_what_a_server_says_stays() -> None:
    hidden = Mask([PLAIN.encode()]).hide(f"key '{PLAIN[:20]}' is wrong, and {PLAIN[8:]} is no key".encode())
    assert hidden == b"key '***' is wrong, and 0123456789abcdef is no key"


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


def numbered(form: str) -> Callable[[str], str]:
    return lambda sign: form % ord(sign)


SPELLED: list[Callable[[str], str]] = [
    lambda sign: sign,
    lambda sign: json.dumps(sign)[1:-1],
    *(numbered(form) for form in ("%%%02X", "%%%02x", "%%25%02x", "%%2525%02X", "\\u%04x", "\\u%04X", "\\\\u%04x")),
    *(numbered(form) for form in ("&#%d;", "&#%03d;", "&#x%x;", "&#X%02X;", "&amp;#%d;", "\\u0026#%d;", "\\x%02x")),
]
WRAPPED: list[Callable[[str], str]] = [
    str,
    html.escape,
    lambda said: json.dumps({"error": said}),
    lambda said: f"<p>{said}</p>",
]
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


@settings(max_examples=600, deadline=None)
@given(
    letters=st.lists(st.tuples(PRINTABLE, st.sampled_from(SPELLED)), min_size=LEAST_KEY_BYTES, max_size=60),
    wrapped=st.sampled_from(WRAPPED),
    around=st.tuples(st.sampled_from(["", "key ", '"', "?key="]), st.sampled_from(["", " tail", '"', "&x=y"])),
)
def test_any_mixture_of_escapes_is_hidden(
    letters: list[tuple[str, Callable[[str], str]]], wrapped: Callable[[str], str], around: tuple[str, str]
) -> None:
    key = "".join(sign for sign, _ in letters)
    spelled = "".join(spell(sign) for sign, spell in letters)
    hidden = Mask([key.encode()]).hide(wrapped(around[0] + spelled + around[1]).encode())
    assert HIDDEN in hidden and spelled.encode() not in hidden, hidden
    assert len(hidden) <= len(wrapped(around[0] + around[1])) * 6 + len(HIDDEN) + 3, hidden


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("000000&0", "000000\\u0026#38;0"),
        ("0000000&", "0000000\\u0026#38;"),
        ("\0" * 7 + "\\", ("\0" * 7 + "\\") * 2),  # the second begins where an escape might
    ],
)
def test_what_can_be_read_in_two_ways_is_hidden(key: str, said: str) -> None:
    assert Mask([key.encode()]).hide(said.encode()).replace(HIDDEN, b"") == b""


def test_a_long_key_costs_no_more_than_its_bytes() -> None:
    """A token of a megabyte, and a body made of its beginning: looked at in a moment."""
    key = b"abcdefgh" * 100_000 + b"!"
    assert Mask([key]).hide(b"x" * 10 + key[:50_000]) == b"x" * 10 + HIDDEN
