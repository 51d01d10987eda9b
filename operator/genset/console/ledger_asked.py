"""The ledger is asked for what was used, what left the house, and single requests; its answers are read up to a bound."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from genset.contracts.ledger import AFTER, EGRESS_PATH, ERROR, REQUESTS_PATH, USAGE_PATH
from genset.contracts.usage import EgressReading
from genset.ledger.questions import query
from genset.ledger.report import UsageQuestion, UsageReport

ANSWER_SECONDS: Final = 20.0
ANSWER_BYTES: Final = 32 * 1024 * 1024
KEPT_SECONDS: Final = 15.0  # that an answer is shown again
MOST_KEPT: Final = 32
EGRESS_PAGES: Final = 3  # of 10,000 lines each


class LedgerAway(Exception):
    """The ledger gives no answer. The message says why, and what helps."""


@dataclass(frozen=True)
class EgressAnswer:
    """An answer has what left the house since a time. `more`: there was more than is read for a page."""

    reading: EgressReading
    more: bool


class LedgerAsked:
    """Asks the ledger at `url` with the token in a file; "" is none."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self.url = url.rstrip("/")
        self._token_file = token_file
        self._client: aiohttp.ClientSession | None = None
        self._kept: dict[str, tuple[float, bytes, str]] = {}
        self._slots = asyncio.Semaphore(4)
        self.at: float | None = None
        self.problem = ""

    async def close(self) -> None:
        """Closes all connections."""
        if self._client is not None:
            await self._client.close()

    async def usage(self, asked: UsageQuestion) -> UsageReport:
        """Returns a report. Raises LedgerAway."""
        body, _ = await self._get(USAGE_PATH, query(asked))
        try:
            return UsageReport.read(asked, json.loads(body))
        except (ValueError, KeyError, TypeError, ArithmeticError) as problem:
            raise LedgerAway("the ledger has answered in words that this console does not know") from problem

    async def egress(self, since: float) -> EgressAnswer:
        """Returns what left the house since a time. Raises LedgerAway."""
        found, after = EgressReading(), "0"
        for _ in range(EGRESS_PAGES):
            body, after = await self._get(EGRESS_PATH, {"from": str(int(max(0.0, since))), "after": after})
            found.add(body)
            if not after:
                break
        return EgressAnswer(found, bool(after))

    async def request(self, request_id: str) -> Mapping[str, Any]:
        """Returns what is known of a request. Raises LedgerAway."""
        body, _ = await self._get(f"{REQUESTS_PATH}/{quote(request_id, safe='')}", {}, also=404)
        found = json.loads(body)
        return found if isinstance(found, dict) else {}

    async def _get(self, path: str, asked: Mapping[str, str], also: int = 200) -> tuple[bytes, str]:
        """Returns body and where it goes on. Raises LedgerAway."""
        if not self.url:
            raise LedgerAway("no ledger is connected: install the chart with ledger.enabled=true")
        key = json.dumps([path, sorted(asked.items())])
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1], kept[2]
        try:
            async with self._slots:
                body, after = await self._asked(path, asked, also)
        except LedgerAway as problem:
            self.problem = str(problem)
            raise
        self.at, self.problem = time.time(), ""
        if len(body) <= ANSWER_BYTES // 32:  # large ones are asked for anew
            self._kept[key] = (time.monotonic(), body, after)
            while len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return body, after

    async def _asked(self, path: str, asked: Mapping[str, str], also: int) -> tuple[bytes, str]:
        if self._client is None:
            self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            token = self._token_file.read_text().strip() if self._token_file is not None else ""
            headers = {"Authorization": f"Bearer {token}"}
            async with self._client.get(
                URL(f"{self.url}{path}?{urlencode(asked)}", encoded=True),
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                body = await _bounded(answer)
                if answer.status not in (200, also):
                    raise LedgerAway(f"the ledger says: {_words(body, answer.status)}")
                return body, answer.headers.get(AFTER, "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            raise LedgerAway(f"the ledger at {self.url} does not answer: {failure or 'no word in time'}") from failure


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > ANSWER_BYTES:
            answer.close()
            raise LedgerAway("the ledger's answer is too large for a page: ask for a shorter span, or `genset usage`")
        pieces.append(piece)
    return b"".join(pieces)


def _words(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)[ERROR])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
