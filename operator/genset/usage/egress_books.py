"""What left the house is read from a ledger, by its API or its database, beyond the life of routers."""

from __future__ import annotations

import time
from typing import Protocol, TypeVar

import httpx

from genset.contracts.ledger import AFTER, EGRESS_PATH, ERROR
from genset.ledger import reading
from genset.ledger.database import Database, LedgerError
from genset.usage.reports import cluster_ledger
from genset.usage.sources import TIMEOUT_SECONDS, UsageError


class Reading(Protocol):
    """A reading takes what a ledger has in its chain, in the form of segments: of what left the house, or of drills."""

    def add(self, segment: bytes) -> None: ...


Read = TypeVar("Read", bound=Reading)


def from_url(url: str, shown: str, since: float, found: Read) -> Read:
    """Asks the ledger at `url` for its chain since a time in seconds since 1970. Raises UsageError."""
    after = ""
    with httpx.Client(
        base_url=url.rstrip("/"), timeout=TIMEOUT_SECONDS, headers={"authorization": f"Bearer {shown}"}
    ) as client:
        try:
            while True:
                answer = client.get(EGRESS_PATH, params={"from": str(int(max(0.0, since))), "after": after or "0"})
                if answer.status_code != 200:
                    raise UsageError(f"{url}: {answer.json()[ERROR]}")
                found.add(answer.content)
                after = answer.headers.get(AFTER, "")
                if not after:
                    return found
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as problem:
            raise UsageError(f"{url}: {problem}; give the address of a ledger, e.g. http://127.0.0.1:8090") from problem


def from_database(url: str, since: float, found: Read) -> Read:
    """Reads a ledger's database. Raises UsageError."""
    after = 0
    try:
        database = Database(url)
        if database.file is not None and not database.file.exists():
            raise UsageError(f"{url} is not there; name the ledger's database")
        try:
            while True:
                rows = reading.egress(database, int(max(0.0, since)), int(time.time()) + 2**30, after)
                found.add(reading.segments(rows))
                if len(rows) < reading.MOST_LINES:
                    return found
                after = rows[-1].place
        finally:
            database.close()
    except LedgerError as problem:
        raise UsageError(str(problem)) from problem


def from_cluster(context: str | None, namespace: str, since: float, found: Read) -> Read:
    """Asks the ledger of a cluster, which is in this namespace. Raises UsageError."""
    with cluster_ledger(context, namespace) as (url, shown):
        return from_url(url, shown, since, found)
