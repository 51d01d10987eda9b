"""The usage keeper has the book of usage records that a configuration wants."""

from __future__ import annotations

from typing import Any

from genset.contracts.router_config import RouterConfig
from genset.router.http.spool import SEGMENT_BYTES
from genset.router.process.spool_keeper import SpoolKeeper
from genset.router.telemetry.usage_book import UsageBook


class UsageKeeper:
    """The keeper writes to the spool that `kept` opens."""

    def __init__(self, kept: SpoolKeeper) -> None:
        self.kept = kept
        self.book: UsageBook | None = None  # in force; None: nobody wants records

    def take(self, config: RouterConfig) -> UsageBook | None:
        """Returns the book that a configuration wants. What was counted of the one before goes on."""
        wanted = config.usage
        if wanted is None:
            self.book = None
            return None
        spool = self.kept.opened(config.policy)
        spool.resize(max(1, wanted.spool_bytes // SEGMENT_BYTES))
        if self.book is None:
            self.book = UsageBook(spool, self.kept.wall, self.kept.now)
        self.book.classify({one.backend: (one.size.lower(), one.speed.lower()) for one in wanted.classes or ()})
        return self.book

    def view(self) -> dict[str, Any]:
        """Returns what is shown of the spool, and of records that could not be kept."""
        shown, book = self.kept.view(), self.book
        return {**shown, "segments": len(shown["segments"]), "unkept": book.unkept if book is not None else 0}
