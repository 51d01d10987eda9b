"""GuardedRegistry stands before a real registry and asks who one is, by tokens: reading and writing are two rights."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx

from tests.support.weights.stores import RealRegistry

_PASSED = ("content-type", "docker-content-digest", "location", "range")


class GuardedRegistry:
    """Lets through what a token allows. `asked` are the scopes of tokens that were given; `refuse` breaks so many uploads."""

    def __init__(self, behind: RealRegistry) -> None:
        self.behind = behind
        self.asked: list[str] = []
        self.refuse = 0
        self.swallow = 0  # answers to so many uploads that were taken
        self.good_for = 10**9  # requests for which a token is good
        self.bytes_in = 0
        self.left = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def config(self, password: str = "secret") -> str:
        """Returns a Docker configuration."""
        word = base64.b64encode(f"house:{password}".encode()).decode()
        return json.dumps({"auths": {self.host: {"auth": word}}})


def _handler(guard: GuardedRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path.startswith("/token"):
                self.token()
                return
            guard.left -= 1
            need = "pull" if self.command in ("GET", "HEAD") else "push"
            if guard.left < 0 or need not in self.headers.get("authorization", "").removeprefix("Bearer ").split(","):
                scope = "pull" if need == "pull" else "pull,push"
                challenge = f'Bearer realm="http://{guard.host}/token",service="s",scope="repository:r:{scope}"'
                self.reply(401, {"WWW-Authenticate": challenge}, b"{}")
                return
            if self.command == "PUT" and "/uploads/" in self.path and guard.refuse:
                guard.refuse -= 1
                self.close_connection = True
                self.connection.close()
                return
            guard.bytes_in += len(body) if "/uploads/" in self.path else 0
            sent = {name: self.headers[name] for name in ("content-type", "accept") if name in self.headers}
            answer = httpx.request(self.command, f"{guard.behind.url}{self.path}", content=body, headers=sent)
            if self.command == "PUT" and "/uploads/" in self.path and guard.swallow:
                guard.swallow -= 1
                self.close_connection = True
                self.connection.close()
                return
            headers = {name: value for name, value in answer.headers.items() if name in _PASSED}
            if self.command == "HEAD" and "content-length" in answer.headers:
                headers["Content-Length"] = answer.headers["content-length"]
            self.reply(answer.status_code, headers, answer.content)

        def token(self) -> None:
            right = "Basic " + base64.b64encode(b"house:secret").decode()
            if self.headers.get("authorization") != right:
                self.reply(401, {}, b"{}")
                return
            scope = self.path.rpartition("%3A")[2].replace("%2C", ",")
            guard.asked.append(scope)
            guard.left = guard.good_for
            self.reply(200, {}, json.dumps({"token": scope, "expires_in": 300}).encode())

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    return Handler


@contextmanager
def guarded(behind: RealRegistry) -> Iterator[GuardedRegistry]:
    made = GuardedRegistry(behind)
    thread = Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
