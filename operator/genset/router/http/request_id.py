"""Every request has an id: the client's own if it is a sane one, else a new one."""

from __future__ import annotations

import os
import re
from itertools import count
from typing import Final

REQUEST_ID_CHARACTERS: Final = 128  # of a client's own x-request-id

_REQUEST_ID: Final = re.compile(rb"[\w.:/+=@-]{1,%d}" % REQUEST_ID_CHARACTERS)

_BOOT: Final = os.urandom(4).hex().encode()

_next_number: Final = count(1).__next__


def request_id(given: bytes | None) -> bytes:
    """The client's own id if it is a sane one, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b-%d" % (_BOOT, _next_number())
