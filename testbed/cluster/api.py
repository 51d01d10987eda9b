"""This client makes the few requests that starting a cluster needs: health, waiting, applying some objects."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testbed.cluster.pki import KeyPair

FIELD_MANAGER = "genset-e2e"
REQUEST_SECONDS = 5.0
POLL_SECONDS = 0.05


class NotReady(TimeoutError):
    """A condition did not come true before its deadline."""


class Api:
    """An API client talks to one API server with one client certificate; a connection per request."""

    def __init__(self, server: str, ca: Path, pair: KeyPair) -> None:
        parts = urlsplit(server)
        self._address, self._port = parts.hostname or "", parts.port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._tls.load_cert_chain(pair.certificate, pair.key)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = REQUEST_SECONDS,
    ) -> tuple[int, bytes]:
        """Returns status and body. Raises OSError or HTTPException if no answer comes."""
        connection = http.client.HTTPSConnection(self._address, self._port, timeout=seconds, context=self._tls)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """Returns an object or a list; None if it does not exist."""
        status, body = self.request("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise RuntimeError(f"GET {path} was answered {status}: {body[:500].decode(errors='replace')}")
        content: dict[str, Any] = json.loads(body)
        return content

    def apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Applies the object at its own path, server-side."""
        status, body = self.request(
            "PATCH",
            f"{path}?fieldManager={FIELD_MANAGER}&force=true",
            json.dumps(manifest).encode(),
            {"Content-Type": "application/apply-patch+yaml"},
        )
        if status not in (200, 201):
            raise RuntimeError(f"applying {path} was answered {status}: {body[:500].decode(errors='replace')}")

    def is_ready(self) -> bool:
        """Returns whether the API server says that it is ready."""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def wait_for(
    what: str, condition: Callable[[], bool], seconds: float, still_possible: Callable[[], None] | None = None
) -> float:
    """Polls until the condition holds. Returns the seconds waited; raises NotReady after `seconds`.

    `still_possible` raises if waiting longer makes no sense.
    """
    started = time.monotonic()
    while not condition():
        if still_possible is not None:
            still_possible()
        if time.monotonic() - started > seconds:
            raise NotReady(f"{what}: not so within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started
