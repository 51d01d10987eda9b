"""The usage keeper opens the spool of usage records when a configuration first wants them, and brings it to the disk."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from genset.contracts.router_config import RouterConfig
from genset.contracts.usage_records import PREFIX, opening
from genset.router.http.spool import SEGMENT_BYTES, Spool
from genset.router.process.egress_keeper import SYNC_SECONDS
from genset.router.telemetry.usage_book import UsageBook

_NO_FOLDER: Final = "this router was started without a folder for usage records (--spool)"


class UsageKeeper:
    """The keeper has one spool for the life of the process. `folder` None: there is no place for one."""

    def __init__(
        self, folder: Path | None, environment: Mapping[str, str], wall: Callable[[], float], now: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._wall = wall
        self._now = now
        self.spool: Spool | None = None
        self.book: UsageBook | None = None  # in force; None: nobody wants records

    def take(self, config: RouterConfig) -> UsageBook | None:
        """Returns the book that a configuration wants. What was counted of the one before goes on."""
        wanted = config.usage
        if wanted is None:
            self.book = None
            return None
        if self.spool is None:
            self.spool = self._opened(config)
        self.spool.resize(max(1, wanted.spool_bytes // SEGMENT_BYTES))
        if self.book is None:
            self.book = UsageBook(self.spool, self._wall, self._now)
        self.book.classify({one.backend: (one.size.lower(), one.speed.lower()) for one in wanted.classes or ()})
        return self.book

    def _opened(self, config: RouterConfig) -> Spool:
        incarnation = secrets.token_hex(6)
        policy = f"{config.policy.namespace}/{config.policy.name}"
        first = opening(incarnation, policy, self._environment.get("HOSTNAME", ""), round(self._wall(), 3))
        spool = Spool(self._folder or Path(), incarnation, first, prefix=PREFIX)
        if self._folder is None:
            spool.fail(_NO_FOLDER)
        else:
            spool.look(self._now())
        return spool

    async def keep(self) -> None:
        """Brings lines to the disk until cancelled, and looks whether a full disk has room again."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            spool = self.spool
            if spool is not None and self._folder is not None:
                spool.look(self._now())
                await asyncio.to_thread(spool.sync)

    def view(self) -> dict[str, Any]:
        """Returns what is shown of the spool: its segments, why it fails, how many it lost."""
        spool, book = self.spool, self.book
        return {
            "segments": len(spool.names()) if spool is not None else 0,
            "failing": spool.failing if spool is not None else "",
            "lostSegments": spool.lost if spool is not None else 0,
            "unkept": book.unkept if book is not None else 0,
        }

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()
