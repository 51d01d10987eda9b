"""A chat with a router is a list of turns; each turn is a stream of OpenAI's chat API, read as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx

#: Seconds between two pieces of an answer. A router gives a model at rest five minutes to wake (router.coldStartSeconds).
_TIMEOUT: Final = httpx.Timeout(330.0, connect=10.0)
_ERROR_CHARACTERS: Final = 500  # of a body that is no error of an API


class AnswerFailed(Exception):
    """An answer did not come, or broke. The message says why, in the server's words."""


class ChatServer:
    """A server speaks OpenAI's API at `base`, the URL without /v1. `key`: of a consumer; "" shows none."""

    def __init__(self, base: str, key: str = "") -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=base.rstrip("/").removesuffix("/v1"), headers=headers, timeout=_TIMEOUT)

    def models(self) -> list[str]:
        """Returns the names that it answers to. Raises AnswerFailed."""
        try:
            answer = self._client.get("/v1/models")
            if answer.status_code != 200:
                raise AnswerFailed(_error(answer))
            return sorted(str(one["id"]) for one in answer.json()["data"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as problem:
            raise AnswerFailed(f"{self._client.base_url}: {problem or type(problem).__name__}") from problem

    def stream(self, body: dict[str, Any], turn: ChatTurn) -> Iterator[dict[str, Any]]:
        """Yields the events of an answer, whose head the turn gets first. Raises AnswerFailed."""
        whole = False
        try:
            with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
                turn.headers = answer.headers
                if answer.status_code != 200:
                    answer.read()
                    raise AnswerFailed(_error(answer))
                for line in answer.iter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    if data == "[DONE]":
                        whole = True
                    elif data:
                        event = json.loads(data)
                        if error := event.get("error"):
                            raise AnswerFailed(str(error.get("message") if isinstance(error, dict) else error))
                        yield event
        except (httpx.HTTPError, ValueError, AttributeError) as problem:
            raise AnswerFailed(f"{self._client.base_url}: {problem or type(problem).__name__}") from problem
        if not whole:
            raise AnswerFailed("the stream ended before its end")


class ChatTurn:
    """A turn is one question and the answer to it. `headers` are the answer's, once there are any."""

    def __init__(self, server: ChatServer, body: dict[str, Any], heard: list[dict[str, Any]]) -> None:
        self.headers: httpx.Headers = httpx.Headers()
        self._server = server
        self._body = body
        self._heard = heard
        self._began = time.monotonic()
        self._first: float | None = None
        self._last = self._began
        self._tokens: int | None = None
        self._events = 0

    @property
    def id(self) -> str:
        return str(self.headers.get("x-request-id", ""))

    def pieces(self) -> Iterator[str]:
        """Yields the text as it comes; thoughts are left out. What has come is part of the conversation. Raises AnswerFailed."""
        said: list[str] = []
        try:
            for event in self._server.stream(self._body, self):
                if usage := event.get("usage"):
                    self._tokens = usage.get("completion_tokens")
                delta = next((choice.get("delta") or {} for choice in event.get("choices") or ()), {})
                if any(delta.get(field) for field in ("content", "reasoning_content", "reasoning")):
                    self._came()
                if text := delta.get("content"):
                    said.append(text)
                    yield text
        finally:
            if said:
                self._heard.append({"role": "assistant", "content": "".join(said)})

    def said(self) -> str:
        """Returns who answered and how fast."""
        head = self.headers
        by = head.get("x-genset-backend")
        tier = head.get("x-genset-tier", "")
        parts = [f"{by} (tier {int(tier) + 1 if tier.isdigit() else '-'})" if by else "nobody told who answered"]
        if self._first is not None:
            parts.append(f"first token after {self._first - self._began:.2f} s")
            tokens = self._events if self._tokens is None else self._tokens
            took = self._last - self._first
            parts.append(
                f"{tokens} tokens" + (f", {(tokens - 1) / took:.0f} a second" if took > 0 and tokens > 1 else "")
            )
        if reason := head.get("x-genset-reason"):
            parts.append(f"not the first, because of {reason}")
        if self.id:
            parts.append(f"id {self.id}")
        return ", ".join(parts)

    def _came(self) -> None:
        self._last = time.monotonic()
        self._first = self._last if self._first is None else self._first
        self._events += 1


class Chat:
    """A chat sends all that was said with each question."""

    def __init__(self, server: ChatServer, model: str, system: str = "", most_tokens: int | None = None) -> None:
        self._server = server
        self._heard: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        self._rest: dict[str, Any] = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
        if most_tokens is not None:
            self._rest["max_tokens"] = most_tokens

    def ask(self, text: str) -> ChatTurn:
        """Returns the turn, whose answer is read from it."""
        self._heard.append({"role": "user", "content": text})
        return ChatTurn(self._server, {**self._rest, "messages": list(self._heard)}, self._heard)


def _error(answer: httpx.Response) -> str:
    """Returns what an answer of another status than 200 says."""
    try:
        said = answer.json()["error"]
        message = said["message"] if isinstance(said, dict) else said
    except (ValueError, KeyError, TypeError):
        message = answer.text[:_ERROR_CHARACTERS] or "nothing said why"
    return f"{answer.status_code} {message}"
