"""A page is one path that answers JSON to the operator, from a single thread with a short timeout per connection.

A slow or hostile client can delay other readers by that timeout and can't do anything else: nothing is read from the request but
its first line.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

from genset import listening
from genset.addresses import host_and_port

_REQUEST_TIMEOUT = 2.0  # seconds that one connection may take


class PageServer:
    """A page server answers a path at an address, with what `body` returns at the time, until it is closed."""

    def __init__(self, listen: str, path: str, body: Callable[[], bytes]) -> None:
        """Raises ValueError if `listen` is no HOST:PORT, and OSError if nobody can listen there."""
        address = host_and_port(listen)
        if address is None:
            raise ValueError(f"{listen!r} is no address; write HOST:PORT")
        self._server = HTTPServer(address, _handler(path, body), bind_and_activate=False)
        self._server.socket.close()  # of one family, and not bound; binding it would ask DNS for this machine's name
        self._server.socket = listening.listen(*address)[0]
        self._server.server_address = self._server.socket.getsockname()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="page")
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=_REQUEST_TIMEOUT + 1)


def _handler(path: str, body: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT
        server_version = "genset"
        sys_version = ""

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == path
            answer = body() if found else json.dumps({"message": f"only {path} is here"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
