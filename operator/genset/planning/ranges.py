"""Ranges read the beginning of a file on a web server, piece by piece, and no more than is asked for.

A server without ranges sends the file from its start each time; then as much of it is read as is needed, and the connection
is closed.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from genset.planning.errors import PlanError
from genset.weights import client as http
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Transient

FIRST_BLOCK = 2**20  # bytes; holds most headers
LARGEST_BLOCK = 16 * 2**20


class RangedFile:
    """A ranged file is a stream over the start of a remote file, as `read_header` wants one."""

    def __init__(self, client: httpx.Client, url: str, headers: Mapping[str, str], login: str) -> None:
        self._client = client
        self._url = url
        self._headers = headers
        self._login = login
        self._data = b""
        self._at = 0
        self._block = FIRST_BLOCK
        self._ended = False
        self.size = 0  # of the whole file, once a piece of it has come; 0 if the server does not say

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, at least one unless the file ends, at most `size`."""
        if self._at == len(self._data) and not self._ended:
            self._fetch()
        wanted = len(self._data) if size < 0 else self._at + size
        piece = self._data[self._at : wanted]
        self._at += len(piece)
        return piece

    def _fetch(self) -> None:
        start = self._at
        last = start + self._block - 1
        self._block = min(self._block * 4, LARGEST_BLOCK)
        try:
            with http.get(self._client, self._url, self._headers, {"range": f"bytes={start}-{last}"}) as response:
                if response.status_code == 416:
                    self._ended = True
                    return
                http.check_status(response, self._url, login=self._login)
                partial = response.status_code == 206
                self.size = _whole_size(response) or self.size
                self._data, self._at = (
                    _up_to(response, 0 if partial else start, last + 1 - (start if partial else 0)),
                    0,
                )
        except Transient as trouble:
            raise PlanError(trouble.failure.message) from trouble
        except WeightsFailure as failure:
            raise PlanError(failure.message) from failure
        self._ended = not self._data


def _up_to(response: httpx.Response, skipped: int, end: int) -> bytes:
    """Returns the bytes of a body from `skipped` up to `end`."""
    with http.transport_errors(str(response.url)):
        kept = bytearray()
        at = 0
        for piece in response.iter_raw():
            kept += piece[max(0, skipped - at) :]
            at += len(piece)
            if at >= end:
                break
        return bytes(kept[: end - skipped])


def _whole_size(response: httpx.Response) -> int:
    text = response.headers.get("content-range", "").rpartition("/")[2]
    if response.status_code == 200:
        text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0
