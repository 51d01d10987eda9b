"""Headers that announce the end of a model are read as their RFCs say; nonsense in them says nothing."""

from __future__ import annotations

import pytest

from genset.router.backends.retirement import Retirement, retirement

NEW_YEAR = 1_798_761_600.0  # 2027-01-01
HTTP_DATE = b"Fri, 01 Jan 2027 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({b"sunset": HTTP_DATE}, Retirement(NEW_YEAR, False, None)),
        ({b"deprecation": b"@1798761600"}, Retirement(None, True, NEW_YEAR)),
        ({b"deprecation": HTTP_DATE}, Retirement(None, True, NEW_YEAR)),
        ({b"deprecation": b"true"}, Retirement(None, True, None)),
        ({b"deprecation": b"true", b"sunset": HTTP_DATE}, Retirement(NEW_YEAR, True, None)),
        ({b"deprecation": b"false"}, None),
        ({b"sunset": b"soon"}, None),
        ({b"sunset": b""}, None),
        ({b"sunset": b"Fri, 01 Jan 99999 00:00:00 GMT"}, None),
        ({b"deprecation": b"@99999999999999"}, None),
        ({b"deprecation": b"@-5"}, None),
        ({b"sunset": b"\xff\xfe"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_headers_say_when_a_model_ends(headers: dict[bytes, bytes], found: Retirement | None) -> None:
    assert retirement(headers) == found
