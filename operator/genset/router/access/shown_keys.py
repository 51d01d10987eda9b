"""Returns the keys that a request shows. Pure."""

from __future__ import annotations

from typing import Final

KEY_HEADERS: Final = (b"x-api-key", b"api-key")  # beside `authorization: Bearer`
LONGEST_KEY_BYTES: Final = 8 * 1024  # tokens of identity providers are the longest
_BEARER: Final = b"bearer "


def shown_keys(headers: dict[bytes, bytes]) -> list[bytes]:
    """Returns what a request shows as keys, at most three; one that is too long to be any as b"".

    `Authorization` in another scheme than Bearer is no key: it may be a proxy's.
    """
    shown: list[bytes] = []
    bearer = headers.get(b"authorization")
    if bearer is not None and bearer[:7].lower() == _BEARER:
        shown.append(bearer[7:].strip())
    for name in KEY_HEADERS:
        if name in headers:
            shown.append(headers[name].strip())
    return [key if len(key) <= LONGEST_KEY_BYTES else b"" for key in shown]


def all_shown(headers: dict[bytes, bytes]) -> bytes:
    """Returns every header that may hold a key as one text, which is another one wherever any of them is."""
    bearer, key, azure = headers.get(b"authorization"), headers.get(b"x-api-key"), headers.get(b"api-key")
    return b"%b\n%b\n%b" % (bearer or b"", key or b"", azure or b"")
