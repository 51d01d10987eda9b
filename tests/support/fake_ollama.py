"""FakeOllama answers as Ollama's server does where a pod of it asks, and a fake llama-server tells whether it is busy.

Both stand in for what has to be built first; the scenarios run the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.local_server import Handler, LocalServer


class FakeOllama(LocalServer):
    """Listens on a free port while it is entered. `requests` are those that it was sent: path and parsed body."""

    def __init__(self, store: Path, *, refuses: str = "", error: str = "") -> None:
        self.requests: list[tuple[str, Any]] = []
        self.loaded: list[str] = []
        outer = self

        class Answers(Handler):
            def do_GET(self) -> None:
                models = [{"name": name, "model": name} for name in outer.loaded]
                self._answer(200, {"models": models} if self.path == "/api/ps" else {"version": "0.33.0"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, body))
                if self.path == refuses:
                    self._answer(500, {"error": error})
                    return
                if self.path == "/api/create":
                    made = store / "manifests/registry.ollama.ai/library" / body["from"] / "latest"
                    outer.base = json.loads(made.read_text())
                    self._answer(200, {"status": "success"})
                    return
                outer.loaded.append(body["model"] if ":" in body["model"] else f"{body['model']}:latest")
                self._answer(200, {"done": True})

            def _answer(self, status: int, body: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body, separators=(",", ":")).encode())

        self.base: dict[str, Any] = {}
        super().__init__(Answers)


class FakeChild(LocalServer):
    """A fake llama-server that says of its one slot whether it works, and stands in a folder as processes do in /proc."""

    def __init__(self, folder: Path, busy_answers: int) -> None:
        self.asked = 0
        outer = self

        class Answers(Handler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(200)
                self.end_headers()
                slot = {"id": 0, "is_processing": outer.asked <= busy_answers}
                self.wfile.write(json.dumps([slot], separators=(",", ":")).encode())

        super().__init__(Answers)
        for number, words in (
            (1, ["/pause"]),
            (7, ["bash", "-c", "llama-server --port 1"]),
            (9, ["/usr/lib/ollama/llama-server", "--model", "m", "--port", str(self.port), "-np", "1"]),
        ):
            (folder / str(number)).mkdir()
            (folder / str(number) / "cmdline").write_text("\0".join(words) + "\0")
