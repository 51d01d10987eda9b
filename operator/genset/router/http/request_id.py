"""Every request has an id: the client's own if it is a sane one, and a new one otherwise."""

from __future__ import annotations

import os
import re
from typing import Final, final

REQUEST_ID_CHARACTERS: Final = 128  # of a client's own x-request-id

_REQUEST_ID: Final = re.compile(rb"[\w.:/+=@-]{1,%d}" % REQUEST_ID_CHARACTERS)

_BOOT: Final = os.urandom(4).hex().encode()


@final
class _Numbers:
    """These are the numbers of this process, one after another."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last


_numbers: Final = _Numbers()


def request_id(given: bytes | None) -> bytes:
    """Returns the client's own id if it is a sane one, and a new one otherwise."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b-%d" % (_BOOT, _numbers.next())
