"""Trials of keys are counted for each address, and answered ever more slowly. Pure.

Keys are too long to be guessed; this keeps logs and processors from those who try all the same. A right key is never slowed,
whatever others behind the same address have tried.
"""

from __future__ import annotations

from typing import Final, final

FREE_TRIALS: Final = 5  # wrong keys of an address that are answered at once
FORGOTTEN_SECONDS: Final = 60.0  # without a wrong key, after which an address has tried nothing
FIRST_WAIT_SECONDS: Final = 0.25  # doubled with each further wrong key
LONGEST_WAIT_SECONDS: Final = 4.0
MOST_WAITING: Final = 16  # answers to one address that wait; further ones are told to come again
MOST_ADDRESSES: Final = 4096


@final
class _Tries:
    """What one address has tried."""

    __slots__ = ("count", "last", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.waiting = 0


@final
class Trials:
    """The trials of all addresses; of too many addresses, those that have tried nothing for the longest time are forgotten."""

    __slots__ = ("_tries",)

    def __init__(self) -> None:
        self._tries: dict[str, _Tries] = {}

    def wrong(self, address: str, now: float) -> float | None:
        """Counts a wrong key. Returns for how many seconds its answer has to wait; None if too many of the address wait already.

        What waits has to be taken back by `answered`.
        """
        tries = self._tries.pop(address, None)
        if tries is None or (now - tries.last > FORGOTTEN_SECONDS and not tries.waiting):
            tries = _Tries()
            if len(self._tries) >= MOST_ADDRESSES:
                del self._tries[next(iter(self._tries))]
        self._tries[address] = tries
        tries.count += 1
        tries.last = now
        beyond = tries.count - FREE_TRIALS
        if beyond <= 0:
            return 0.0
        if tries.waiting >= MOST_WAITING:
            return None
        tries.waiting += 1
        return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(beyond - 1, 10)))

    def answered(self, address: str) -> None:
        """Takes back an answer that has waited."""
        tries = self._tries.get(address)
        if tries is not None and tries.waiting:
            tries.waiting -= 1
