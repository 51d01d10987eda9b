"""These lines the heads of all answers to clients have in common."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

#: Browsers take a body for nothing but what its content type says.
NOSNIFF: Final = b"x-content-type-options: nosniff\r\n"

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def reason_phrase(status: int) -> bytes:
    return _REASONS.get(status, b"Status")
