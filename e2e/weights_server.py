"""A site's own web server for model files: what the http source downloads from, in the demo and the scenarios."""

from __future__ import annotations

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not this program's news."""


class WeightsServer:
    """Serves one folder at one address until it is closed."""

    def __init__(self, folder: Path, address: str, port: int = 0) -> None:
        self.folder = folder
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer((address, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://{address}:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def source(self, file: str, sha256: str = "") -> dict[str, dict[str, str]]:
        """The `source` of a ModelDeployment for one of its files; `sha256` other than the file's own is a wrong one."""
        digest = sha256 or hashlib.sha256((self.folder / file).read_bytes()).hexdigest()
        return {"http": {"url": f"{self.url}/{file}", "sha256": digest}}
