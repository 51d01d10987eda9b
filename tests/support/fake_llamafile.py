"""This program is a fake llamafile: it takes the flags that the documentation of its release names, and answers /health.

usage: fake_llamafile.py RELEASE FLAGS. A flag that it does not know ends it, as it does llama-server.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

LOADING_SECONDS = 0.3
BOTH = {"--server": 0, "-m": 1, "-a": 1, "--host": 1, "--port": 1, "-c": 1, "-np": 1, "-t": 1, "--gpu": 1, "-ngl": 1}
FLAGS = {
    "0.9": {**BOTH, "--nobrowser": 0, "--embedding": 0},
    "0.10": {**BOTH, "-tb": 1, "--threads-http": 1, "--cache-ram": 1, "--metrics": 0, "--embedding": 0},
}


def read(release: str, words: list[str]) -> dict[str, str]:
    """Returns the flags with their values."""
    known, given = FLAGS[release], {}
    while words:
        flag, *words = words
        if flag not in known:
            sys.exit(f"error: invalid argument: {flag}")
        given[flag] = words.pop(0) if known[flag] else ""
    return given


def main() -> None:
    given, began = read(sys.argv[1], sys.argv[2:]), time.monotonic()
    if "--server" not in given:
        sys.exit("a terminal would open")
    if not Path(given["-m"]).read_bytes().startswith(b"GGUF"):
        sys.exit("failed to load model")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if time.monotonic() - began > LOADING_SECONDS else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    HTTPServer((given["--host"], int(given["--port"])), Handler).serve_forever()


main()
