"""The budget keeper has the book of budgets that a configuration wants, and keeps on the router's disk what was spent.

So a router that begins anew in its pod knows what it has spent before, also while nobody else can tell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

import orjson

from genset.contracts.router_config import RouterConfig
from genset.router.budgets.budget_book import BudgetBook, clouds_of

FILE: Final = "budgets.json"
KEEP_SECONDS: Final = 1.0  # between two looks whether something was spent
_MOST_BYTES: Final = 16 * 1024 * 1024

log = logging.getLogger(__name__)


@final
class BudgetKeeper:
    """The keeper has one book for the life of the process. `identity` names that life; `folder` None: nothing is kept."""

    def __init__(self, folder: Path | None, identity: str, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self._folder = folder
        self._made = BudgetBook(identity, wall, now)
        self._kept = b""
        self.book: BudgetBook | None = None  # in force; None: anything may be spent

    def take(self, config: RouterConfig) -> BudgetBook | None:
        """Returns the book that a configuration wants. What was spent before stays spent."""
        if config.budgets is None:
            self.book = None
            return None
        self._made.take(config.budgets, clouds_of(config))
        if self.book is None:
            self.book = self._made
            self._remember(self._read())
            self._made.renew()
        return self.book

    async def keep(self) -> None:
        """Writes down what was spent, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            told = self._told()
            if told:
                await asyncio.to_thread(self._write, told)

    def close(self) -> None:
        """Writes down what was spent, at last."""
        told = self._told()
        if told:
            self._write(told)

    def _told(self) -> bytes:
        """Returns what is to be written; empty if that is there already."""
        if self.book is None or self._folder is None:
            return b""
        windows = [{**one, "reserved": "0"} for one in self.book.tell()]
        told = orjson.dumps({"windows": windows, "usual": self.book.usuals()})
        return told if told != self._kept else b""

    def _write(self, told: bytes) -> None:
        assert self._folder is not None
        new = self._folder / f"{FILE}.new"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            new.write_bytes(told)
            new.replace(self._folder / FILE)
        except OSError as problem:  # others tell it, too
            log.warning("Failed to keep what was spent of budgets: %s", problem)
            return
        self._kept = told

    def _remember(self, told: Any) -> None:
        if not isinstance(told, dict):
            return
        self._made.hear_all(told.get("windows"))
        usuals = told.get("usual")
        for name, usual in usuals.items() if isinstance(usuals, dict) else ():
            if isinstance(usual, list):
                self._made.usual(name).remember(usual)

    def _read(self) -> Any:
        if self._folder is None:
            return None
        try:
            with (self._folder / FILE).open("rb") as file:
                return orjson.loads(file.read(_MOST_BYTES))
        except (OSError, orjson.JSONDecodeError):
            return None
