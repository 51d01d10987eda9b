"""A day's traffic: requests in every API, with what each wants of backends, and clients that send them to routers."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from testbed.upstream import client
from tests.ledger.day.hand import Sent
from tests.support.router.consumers import KEYS

_WORD = re.compile(rb" \d{4}")
PATIENCE_SECONDS = 40.0
SILENCE_SECONDS = 0.4  # after which a client leaves
WHOLE, LEFT, BROKEN = "whole", "left", "broken"
TEXT_BYTES = 400


@dataclass(frozen=True)
class Wish:
    """A wish is one kind of request. `text`: what it wants of backends; `leaves`: words behind which its client goes."""

    api: str
    route: str
    text: str = ""
    stream: bool = True
    leaves: int = 0


CHAT, TEXT, MESSAGES, RESPONSES = "chat/completions", "completions", "messages", "responses"
WISHES = [
    # Every API, streamed and whole
    *(Wish(api, route, stream=stream) for api in (CHAT, MESSAGES, RESPONSES) for route in ("assistant", "claude", "deep")
      for stream in (True, False)),
    Wish(TEXT, "assistant"), Wish(TEXT, "assistant", stream=False),
    Wish(CHAT, "open"), Wish(CHAT, "open", stream=False), Wish(CHAT, "wild", stream=False), Wish(MESSAGES, "wild"),
    Wish("embeddings", "vectors", stream=False), Wish("rerank", "ranks", stream=False),
    Wish("images/generations", "pictures", stream=False), Wish("messages/count_tokens", "claude", stream=False),
    # Failover
    Wish(CHAT, "assistant", "house=503"), Wish(CHAT, "assistant", "house=503 gpt=503", stream=False),
    Wish(MESSAGES, "assistant", "house=503"), Wish(RESPONSES, "claude", "claude=503"), Wish(CHAT, "claude", "claude=529"),
    Wish(TEXT, "assistant", "house=500", stream=False),
    # Everybody refuses
    Wish(CHAT, "assistant", "house=400", stream=False), Wish(CHAT, "open", "open=503", stream=False),
    Wish(CHAT, "wild", "wild=503"),
    # Streams that break, and are written on
    Wish(CHAT, "assistant", "house=cut3"), Wish(CHAT, "assistant", "house=cut2 gpt=cut2"), Wish(CHAT, "claude", "claude=cut3"),
    Wish(MESSAGES, "assistant", "house=cut3"), Wish(RESPONSES, "assistant", "house=cut1"), Wish(TEXT, "assistant", "house=cut4"),
    Wish(CHAT, "assistant", "house=cut3", stream=False), Wish(CHAT, "deep", "deep=cut2"),
    # Streams that break, and nobody can write on
    Wish(CHAT, "open", "open=cut3"), Wish(CHAT, "wild", "wild=cut2"),
    # Clients that leave
    Wish(CHAT, "assistant", "house=hang3", leaves=3), Wish(CHAT, "claude", "claude=hang2", leaves=2),
    Wish(MESSAGES, "claude", "claude=hang4", leaves=4), Wish(CHAT, "assistant", "house=503 gpt=hang2", leaves=2),
]  # fmt: skip


def _body(api: str, model: str, text: str, *, stream: bool) -> dict[str, Any]:
    user = [{"role": "user", "content": text}]
    if api == CHAT:
        return {"model": model, "messages": user, **({"stream": True} if stream else {})}
    if api == TEXT:
        return {"model": model, "prompt": text, "stream": stream}
    if api == MESSAGES:
        return {"model": model, "max_tokens": 99, "messages": user, "stream": stream}
    if api == RESPONSES:
        return {"model": model, "input": text, "stream": stream}
    if api == "embeddings":
        return {"model": model, "input": text}
    if api == "rerank":
        return {"model": model, "query": text, "documents": ["a", "b"]}
    if api == "images/generations":
        return {"model": model, "prompt": text}
    return {"model": model, "messages": user}  # count_tokens


@dataclass(frozen=True)
class Left:
    """A client left before the end of its request, at a time of the monotonic clock."""

    sent: Sent
    url: str
    at: float


@dataclass
class Client:
    """A client sends one request after another. `whole` have ended as they should, `broken` died with a router."""

    urls: Callable[[], list[str]]
    draw: random.Random
    whole: list[Sent]
    broken: list[Sent]
    left: list[Left]

    async def run(self, wishes: Iterator[tuple[int, Wish]]) -> None:
        for number, wish in wishes:
            consumer = self.draw.choice(sorted(KEYS))
            sent = Sent(f"id-{number}", consumer, wish.route, wish.api, wish.stream)
            while not (urls := self.urls()):
                await asyncio.sleep(0.02)
            url = self.draw.choice(urls)
            try:
                ended = await self._ask(url, sent, wish)
            except (OSError, EOFError):
                ended = BROKEN
            if ended == LEFT:
                self.left.append(Left(replace(sent, left=True), url, time.monotonic()))
            else:
                (self.whole if ended == WHOLE else self.broken).append(sent)

    async def _ask(self, url: str, sent: Sent, wish: Wish) -> str:
        """Returns how it ended. Who would leave stays if somebody else answers than the one who falls silent."""
        text = f"{wish.text} ".ljust(TEXT_BYTES, ".")
        headers = {"x-request-id": sent.identity, "authorization": f"Bearer {KEYS[sent.consumer]}"}
        body = _body(wish.api, wish.route, text, stream=wish.stream)
        async with client.stream(f"{url}/v1/{wish.api}", body, headers) as exchange:
            if wish.leaves:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while len(_WORD.findall(exchange.response.body)) < wish.leaves and await exchange.read():
                        pass
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        await exchange.read()
                except TimeoutError:
                    exchange.leave()
                    return LEFT
            return WHOLE if (await exchange.whole(PATIENCE_SECONDS)).ended == "clean" else BROKEN
