"""FakeOtari stands in for Otari, the any-llm gateway, whose own server needs a newer Python and a gigabyte of packages.

It takes what the endpoint's published schema takes and no field more (src/gateway/services/external_usage_service.py and
docs/external-usage.md of mozilla-ai/otari at 0e2634c3, rewritten): identifiers of one grammar, counts of 32 bits, at most 1,000
events, each source and event id once.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

KEY = "gw-importer"
_Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9._:/\-]+$")]
_Count = Annotated[int, Field(ge=0, le=2_147_483_647)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source_event_id: _Name
    timestamp: AwareDatetime
    provider: Annotated[_Name, Field(max_length=128)]
    model: _Name
    status: str = Field(pattern="^(success|error)$")
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    cache_write_1h_tokens: _Count = 0
    cache_tokens_in_prompt: bool = False
    duration_ms: _Count | None = None
    session_label: _Name | None = None
    user_id: str | None = Field(default=None, max_length=256)


class _Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=64, pattern=r"^[a-zA-Z0-9._:-]+$")
    user_id: str | None = Field(default=None, min_length=1, max_length=256)
    events: list[_Event] = Field(min_length=1, max_length=1000)


class FakeOtari:
    """Used as `with FakeOtari() as otari`. `events` are those that it holds, by source and id.

    `away`: it answers 503. `deaf`: it takes a batch, and closes the connection without an answer. `users`: who exists.
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.users: set[str] | None = None
        self.refuses = ""  # an event id that makes a batch a 422
        self.away = self.deaf = False
        self.batches = 0
        self.refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeOtari:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Returns status and answer of a batch."""
        self.batches += 1
        try:
            batch = _Batch.model_validate(json.loads(body))
            if self.refuses and any(self.refuses in event.source_event_id for event in batch.events):
                raise ValueError("events: not as it should be")
        except (ValidationError, ValueError) as problem:
            self.refused.append(str(problem))
            return 422, {"detail": str(problem)[:200]}
        told: dict[str, Any] = {"accepted": 0, "duplicate": 0, "rejected": 0, "errors": []}
        for index, event in enumerate(batch.events):
            user = event.user_id or batch.user_id
            if self.users is not None and user not in self.users:
                told["rejected"] += 1
                told["errors"].append(
                    {"index": index, "source_event_id": event.source_event_id, "detail": f"{user} not found"}
                )
                continue
            key = batch.source, event.source_event_id
            told["duplicate" if key in self.events else "accepted"] += 1
            self.events.setdefault(key, event.model_dump())
        return 200, told

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        otari = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path != "/v1/usage/external-events":
                    status, answer = 404, {"detail": "Not Found"}
                elif self.headers["authorization"] != f"Bearer {KEY}":
                    status, answer = 401, {"detail": "Invalid API key"}
                elif otari.away:
                    status, answer = 503, {"detail": "away"}
                else:
                    status, answer = otari.take(body)
                    if otari.deaf:
                        self.close_connection = True
                        return
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
