"""FakeVllm keeps what vLLM's server documents of its sleep, and serves no model: one needs a GPU to sleep.

By vllm/entrypoints/serve/dev/sleep/api_router.py and docs/features/sleep_mode.md: the paths exist with VLLM_SERVER_DEV_MODE=1
alone; /sleep and /wake_up answer 200 without a body, /is_sleeping with JSON; /health is well in either state.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from tests.support.local_server import Handler, LocalServer


class FakeVllm(LocalServer):
    """`told` are the calls that changed its state, with their query."""

    def __init__(self, *, asleep: bool = False, dev_mode: bool = True) -> None:
        self.asleep = asleep
        self.told: list[tuple[str, dict[str, list[str]]]] = []
        outer = self

        class Answers(Handler):
            def do_GET(self) -> None:
                if self.path == "/is_sleeping" and dev_mode:
                    self.answer(200, json.dumps({"is_sleeping": outer.asleep}).encode())
                else:
                    self.answer(200 if self.path == "/health" else 404)

            def do_POST(self) -> None:
                target = urlsplit(self.path)
                if target.path not in ("/sleep", "/wake_up") or not dev_mode:
                    self.answer(404)
                    return
                outer.told.append((target.path, parse_qs(target.query)))
                outer.asleep = target.path == "/sleep"
                self.answer(200)

        super().__init__(Answers)
