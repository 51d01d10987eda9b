"""The writer is the one thread that writes: what waits for it goes into one transaction, so that many routers cost one flush."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from genset.ledger.books import Booked, Books, Sending
from genset.ledger.database import Unavailable

MOST_WAITING: Final = 256  # sendings; more are told to come again
MOST_TOGETHER: Final = 32  # in one transaction
MOST_BYTES_TOGETHER: Final = 8 * 1024 * 1024  # then a transaction takes no further sending

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    sending: Sending
    future: asyncio.Future[Any]


@dataclass(frozen=True)
class _Chore:
    work: Callable[[], Any]
    future: asyncio.Future[Any]


class Writer:
    """A writer books what it is given in the order in which it comes. `failing` says why it cannot; empty if it can."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._loop = asyncio.get_running_loop()
        self._queue: queue.Queue[_Waiting | _Chore | None] = queue.Queue(MOST_WAITING)
        self._next: list[_Waiting | _Chore | None] = []  # what was taken from the queue too early
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self.failing = ""

    def start(self) -> None:
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Returns how much waits for the thread."""
        return self._queue.qsize()

    async def take(self, sending: Sending) -> Booked:
        """Books a sending. Raises Unavailable, BadPiece or Forbidden."""
        taken: Booked = await self._put(lambda future: _Waiting(sending, future))
        return taken

    async def do(self, work: Callable[[], Any]) -> Any:
        """Has the thread do something else, between two transactions. Raises what the work raises."""
        return await self._put(lambda future: _Chore(work, future))

    async def stop(self) -> None:
        """Ends once everything that waits is booked."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._queue.put, None)
            await asyncio.to_thread(self._thread.join)

    async def _put(self, made: Callable[[asyncio.Future[Any]], _Waiting | _Chore]) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._queue.put_nowait(made(future))
        except queue.Full:
            raise Unavailable("too many routers send at once; send it again in a second") from None
        return await future

    # In the thread

    def _run(self) -> None:
        while (first := self._next.pop() if self._next else self._queue.get()) is not None:
            if isinstance(first, _Chore):
                self._answer(first.future, _done(first.work))
            else:
                self._book(self._together(first))

    def _together(self, first: _Waiting) -> list[_Waiting]:
        """Returns what goes into one transaction with this one: what waits already."""
        found, size = [first], len(first.sending.body)
        while len(found) < MOST_TOGETHER and size < MOST_BYTES_TOGETHER:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if not isinstance(following, _Waiting):
                self._next = [following]
                break
            found.append(following)
            size += len(following.sending.body)
        return found

    def _book(self, ones: list[_Waiting]) -> None:
        results = _done(lambda: self._books.take([one.sending for one in ones]))
        if isinstance(results, Exception):
            if len(ones) > 1 and not isinstance(results, Unavailable):  # one of them must not hold up the others
                for one in ones:
                    self._book([one])
                return
            self._note(results)
            results = [results] * len(ones)
        else:
            self._note(None)
        for one, result in zip(ones, results, strict=True):
            self._answer(one.future, result)

    def _note(self, problem: Exception | None) -> None:
        failing = "" if problem is None else str(problem) or type(problem).__name__
        if failing and failing != self.failing:
            log.error("Books nothing: %s", failing, exc_info=None if isinstance(problem, Unavailable) else problem)
        elif self.failing and not failing:
            log.warning("Books again")
        self.failing = failing

    def _answer(self, future: asyncio.Future[Any], result: Any) -> None:
        self._loop.call_soon_threadsafe(_settle, future, result)


def _done(work: Callable[[], Any]) -> Any:
    """Returns what the work returns, or the problem that it raised."""
    try:
        return work()
    except Exception as problem:
        return problem


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():  # whoever asked has gone
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
