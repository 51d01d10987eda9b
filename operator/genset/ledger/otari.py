"""Usage is passed on to Otari, the any-llm gateway, if a house wants it in there: `POST /v1/usage/external-events`.

Each attempt is an event, with an id that is the same for ever, so that what is sent twice counts once (Otari keeps source and
event id). It takes counts and names, and prices them by itself; no content ever leaves. https://github.com/mozilla-ai/otari,
docs/external-usage.md.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import select

from genset.contracts.usage import line
from genset.contracts.usage_records import UsageAttempt, UsageReader, UsageRecord
from genset.ledger import state
from genset.ledger.database import Database
from genset.ledger.tables import RECORDS, SPOOLS
from genset.times import rfc3339

EVENTS_PATH: Final = "/v1/usage/external-events"
SOURCE: Final = "genset"
MOST_RECORDS: Final = 200  # of one sending
MOST_EVENTS: Final = 1000  # that Otari takes at once
TIMEOUT_SECONDS: Final = 30.0
_MOST_COUNT: Final = 2**31 - 1
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._:/\-]")  # that Otari takes in no name
_RESULTS: Final = ("accepted", "duplicate", "rejected")
_CANNOT: Final = (413, 422)  # something in a batch is not as Otari wants it

log = logging.getLogger(__name__)


class OtariFailed(Exception):
    """Otari has taken nothing. The message says why; the same is sent later."""


@dataclass
class OtariCounts:
    """What became of events; `failing` says why nothing is taken, and is empty otherwise."""

    events: Counter[str] = field(default_factory=Counter)
    failing: str = ""


@dataclass(frozen=True)
class OtariTarget:
    """A target is where events go. `user`: whom a master key books them for; a user's own key needs none."""

    url: str
    key_file: Path
    user: str = ""


def events(record: UsageRecord) -> Iterator[dict[str, Any]]:
    """Yields the events of a record: one for each attempt."""
    last = len(record.attempts) - 1
    whose = "/".join(filter(None, (record.policy, record.team, record.consumer)))
    for place, attempt in enumerate(record.attempts):
        event = {
            "source_event_id": f"{record.incarnation}-{record.number}-{place}",
            "timestamp": rfc3339(record.time),
            "provider": _named(attempt.backend, 128),
            "model": _named(attempt.model or attempt.backend, 256),
            "status": "success" if attempt.outcome == "ok" else "error",
            **_counts(attempt),
            "cache_tokens_in_prompt": True,
            "session_label": _named(whose, 256),
        }
        if place == last:
            event["duration_ms"] = min(int(record.seconds * 1000), _MOST_COUNT)
        yield event


def _counts(attempt: UsageAttempt) -> dict[str, int]:
    found = {
        "input_tokens": attempt.prompt,
        "output_tokens": attempt.completion,
        "cache_read_tokens": attempt.cached,
        "cache_write_tokens": attempt.cache_write,
        "cache_write_1h_tokens": attempt.cache_write_hour,
    }
    return {name: min(count, _MOST_COUNT) for name, count in found.items()}


def _named(name: str, most: int) -> str:
    return _STRANGE.sub("-", name)[:most] or "-"


class OtariExport:
    """An export passes on what is booked, from the oldest record that is kept on, and remembers in the database how far it is."""

    def __init__(self, database: Database, target: OtariTarget) -> None:
        self._database = database
        self._target = target
        self.counts = OtariCounts()

    def step(self) -> int | None:
        """Passes on the next records. Returns what `done` has to be told; None: there are none.

        Raises OtariFailed or Unavailable.
        """
        with self._database.reading() as connection:
            after = int(state.get(connection, state.OTARI) or 0)
            rows = connection.execute(
                select(RECORDS.c.id, SPOOLS.c.incarnation, SPOOLS.c.policy, SPOOLS.c.router, RECORDS.c.body)
                .join(SPOOLS, SPOOLS.c.id == RECORDS.c.spool)
                .where(RECORDS.c.id > after)
                .order_by(RECORDS.c.id)
                .limit(MOST_RECORDS)
            ).all()
        if not rows:
            self.counts.failing = ""
            return None
        found = [
            event
            for row in rows
            for record in UsageReader(row.incarnation, row.policy, row.router).read(line(bytes(row.body)))
            for event in events(record)
        ]
        try:
            with httpx.Client(base_url=self._target.url.rstrip("/"), timeout=TIMEOUT_SECONDS) as client:
                for start in range(0, len(found), MOST_EVENTS):
                    self._send(client, found[start : start + MOST_EVENTS])
        except (OtariFailed, httpx.HTTPError, OSError) as problem:
            self._note(str(problem) or type(problem).__name__)
            raise OtariFailed(self.counts.failing) from problem
        self._note("")
        return int(rows[-1].id)

    def done(self, last: int) -> None:
        """Remembers that all up to this record is there. Raises Unavailable: the same is sent again then, for nothing."""
        with self._database.writing() as connection:
            state.put(connection, state.OTARI, str(last))

    def _send(self, client: httpx.Client, batch: Sequence[dict[str, Any]]) -> None:
        body = {"source": SOURCE, "events": batch, **({"user_id": self._target.user} if self._target.user else {})}
        key = self._target.key_file.read_text().strip()
        answer = client.post(EVENTS_PATH, json=body, headers={"Authorization": f"Bearer {key}"})
        if answer.status_code in _CANNOT:
            if len(batch) > 1:
                self._send(client, batch[: len(batch) // 2])
                self._send(client, batch[len(batch) // 2 :])
                return
            log.error("Otari refuses event %s: %s", batch[0]["source_event_id"], answer.text[:300])
            self.counts.events["rejected"] += 1
            return
        if answer.status_code != 200:
            raise OtariFailed(f"it answered {answer.status_code}: {answer.text[:300]}")
        self._count(answer.json(), len(batch))

    def _count(self, told: Any, sent: int) -> None:
        """Counts what Otari says. If it has rejected all, somebody has to mend something, and nothing is passed over."""
        if not isinstance(told, dict) or not all(isinstance(told.get(name), int) for name in _RESULTS):
            raise OtariFailed("its answer is none of Otari's: correct the URL")
        errors = told.get("errors") or [{}]
        why = str(errors[0].get("detail") if isinstance(errors[0], dict) else "")[:300]
        if told["rejected"] >= sent:
            raise OtariFailed(f"it rejected everything: {why}")
        if told["rejected"]:
            log.warning("Otari rejected %d of %d events: %s", told["rejected"], sent, why)
        for name in _RESULTS:
            self.counts.events[name] += told[name]

    def _note(self, failing: str) -> None:
        if failing and failing != self.counts.failing:
            log.warning("Passes nothing on to Otari at %s: %s", self._target.url, failing)
        elif self.counts.failing and not failing:
            log.info("Passes usage on to Otari again")
        self.counts.failing = failing
