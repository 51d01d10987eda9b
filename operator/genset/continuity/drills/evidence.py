"""Evidence is what routers wrote down of drills: runs, each of which holds the hash of the one before, checked offline. Pure.

A record is one line of a router's `drill` spool, as the ledger has kept it. The hash of a run is made of its records and of the
run before (`run_hash`); the operator puts it into the order of the next run, which stands in each of its records. So whoever
changes a record, leaves a run out or puts one in breaks what follows, and whoever makes everything anew does not come to the hash
that was noted elsewhere (`status.drillEvidence`).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genset.contracts.drill import RUN, DrillPhase, record_hash
from genset.contracts.reading import items, parsed, text
from genset.contracts.usage import OPENED

VERSION: Final = 1
_CHECKSUM: Final = 9  # characters before a line's JSON


def run_hash(before: str, records: Iterable[str]) -> str:
    """Returns the hash of a run by that of the one before, and those of its routers' records."""
    return hashlib.sha256("\n".join([before, *sorted(records)]).encode()).hexdigest()


@dataclass(frozen=True)
class EvidenceRun:
    """A run has a record from each of its routers, as they wrote it. Its hash is worked out, never believed."""

    id: str
    previous: str
    records: tuple[str, ...]

    @property
    def hash(self) -> str:
        return run_hash(self.previous, (record_hash(record.encode()) for record in self.records))

    @property
    def phases(self) -> list[str]:
        return [text(parsed(record).get("phase")) for record in self.records]

    @property
    def outcome(self) -> str:
        """Returns how it ended: as it did at the router where it ended worst."""
        worst = (DrillPhase.ABORTED, DrillPhase.MISSED, DrillPhase.PASSED)
        return next((phase for phase in worst if phase in self.phases), "?")


@dataclass
class EvidenceReading:
    """A reading takes segments of spools, and keeps what one policy's routers say of drills."""

    policy: str
    found: dict[str, None] = field(default_factory=dict)

    def add(self, segment: bytes) -> None:
        """Reads a segment, or what a ledger answers in its form. A record that comes twice counts once."""
        mine = False
        for one in segment.split(b"\n"):
            body = one[_CHECKSUM:].rstrip(b"\0")
            if not one.startswith(b"%08x " % zlib.crc32(body)):
                continue
            told = parsed(body)
            if told.get("kind") == OPENED:
                mine = told.get("policy") == self.policy
            elif mine and told.get("kind") == RUN:
                self.found[body.decode()] = None

    def runs(self) -> list[EvidenceRun]:
        """Returns the runs in the order in which they ended."""
        by_id: dict[str, list[str]] = {}
        for record in sorted(self.found, key=lambda record: _time(parsed(record))):
            by_id.setdefault(_order(record, "id"), []).append(record)
        return [EvidenceRun(id_, _order(records[0], "previous"), tuple(records)) for id_, records in by_id.items()]


def document(policy: str, runs: Sequence[EvidenceRun], head: str) -> dict[str, Any]:
    """Returns what is handed to an auditor. `head` is the hash that the policy's status tells."""
    told = [
        {"id": run.id, "outcome": run.outcome, "previous": run.previous, "hash": run.hash, "records": list(run.records)}
        for run in runs
    ]
    return {"version": VERSION, "policy": policy, "head": head, "runs": told}


@dataclass(frozen=True)
class CheckedEvidence:
    """Checked evidence is well if there are no `problems`. Of runs that are `unproved` nobody after them holds the hash."""

    runs: tuple[EvidenceRun, ...]
    unproved: tuple[str, ...]
    head: str
    problems: tuple[str, ...]


def checked(told: Mapping[str, Any], noted: str = "") -> CheckedEvidence:
    """Checks a document. `noted`: the hash of a run that somebody wrote down elsewhere, which must be among them."""
    runs: list[EvidenceRun] = []
    problems: list[str] = []
    for one in items(told.get("runs")):
        given = one if isinstance(one, dict) else {}
        run = EvidenceRun(
            text(given.get("id")), text(given.get("previous")), tuple(map(text, items(given.get("records"))))
        )
        problems += _wrong(run, given)
        runs.append(run)
    if not runs:
        problems.append("there is no run in it")
    head, unproved, broken = _followed(runs, text(told.get("head")))
    problems += broken
    known = {run.hash for run in runs}
    if noted and noted not in known:
        problems.append(
            f"no run has the hash {noted[:16]}… that was noted: the evidence was made anew, or ends before it"
        )
    return CheckedEvidence(tuple(runs), tuple(unproved), head, tuple(problems))


def _wrong(run: EvidenceRun, given: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with a run by itself."""
    if not run.id or not run.records:
        yield f"run {run.id or '?'} has no records"
    for record in run.records:
        if (_order(record, "id"), _order(record, "previous")) != (run.id, run.previous):
            yield f"run {run.id}: a record is of another run, or names another one before it"
    if given.get("hash") != run.hash:
        yield f"run {run.id}: its records are not what they were when its hash was made"
    if given.get("outcome") != run.outcome:
        yield f"run {run.id} is called {text(given.get('outcome')) or 'nothing'}, and its records say {run.outcome}"


def _followed(runs: Sequence[EvidenceRun], told_head: str) -> tuple[str, list[str], list[str]]:
    """Follows the runs. Returns the hash at their end, runs that no later one holds, and what is broken."""
    head = runs[0].previous if runs else ""
    unproved: list[str] = []
    problems: list[str] = []
    for number, run in enumerate(runs):
        if run.previous != head:
            problems.append(
                f"run {run.id} does not follow {runs[number - 1].id}: a run between them is missing, or one is changed"
            )
            head = run.previous
        after = runs[number + 1].previous if number + 1 < len(runs) else told_head
        if after == head and after != run.hash:
            unproved.append(run.id)  # the operator ended it, and did not wait for its records
        else:
            head = run.hash
    if runs and told_head and told_head != head:
        problems.append(f"the policy's status had the hash {told_head[:16]}…, and the runs end with {head[:16]}…")
    return head, unproved, problems


def _order(record: str, name: str) -> str:
    found = parsed(record).get("order")
    return text(found.get(name)) if isinstance(found, dict) else ""


def _time(told: Mapping[str, Any]) -> float:
    moment = told.get("time")
    return float(moment) if isinstance(moment, int | float) else 0.0
