"""What a command line asks of usage: where, for which span of time, and what the house costs by the hour."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from genset.ledger.questions import BadQuestion, time_zone, whole_hour
from genset.ledger.report import UsageQuestion, UsageReport
from genset.usage import house, reports
from genset.usage.breakeven import HourPrices
from genset.usage.moments import moment


@dataclass(frozen=True)
class LedgerSource:
    """A source is a ledger, a database, spools, or the ledger of a cluster. Raises BadQuestion if it is several of them."""

    namespace: str | None = None
    context: str | None = None
    ledger: str | None = None
    token_file: Path | None = None
    database: str | None = None
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if sum((bool(self.files), self.ledger is not None, self.database is not None, self.namespace is not None)) > 1:
            raise BadQuestion("take one of -n NAMESPACE, --ledger URL, --database and -f SPOOL")
        if (self.ledger is None) != (self.token_file is None):
            raise BadQuestion("--ledger and --token-file belong together")

    @property
    def is_cluster(self) -> bool:
        return not self.files and self.ledger is None and self.database is None

    def report(self, question: UsageQuestion, default_namespace: str) -> tuple[UsageReport, int]:
        """Returns a report, and how many lines of spools cannot be read. Raises UsageError."""
        if self.files:
            return reports.from_files(self.files, question)
        if self.ledger is not None and self.token_file is not None:
            return reports.from_url(self.ledger, self.token_file.read_text().strip(), question), 0
        if self.database is not None:
            return reports.from_database(self.database, question), 0
        return reports.from_cluster(self.context, self.namespace or default_namespace, question), 0

    def house_prices(self, given: Sequence[tuple[str, Decimal, str]]) -> HourPrices:
        """Returns what the house costs: as given, else as the cluster's ModelDeployments say now. Raises UsageError."""
        return house.from_options(given) if given or not self.is_cluster else house.from_cluster(self.context)


def question(begin: str, end: str, zone: str, by: tuple[str, ...], only: Mapping[str, str]) -> UsageQuestion:
    """Returns what is asked. Raises BadQuestion, or ValueError for a time that is none."""
    where, now = time_zone(zone), time.time()
    first, last = (whole_hour(moment(text, now, where)) for text in (begin, end))
    found = UsageQuestion(first, last, by, only, where)
    if problems := found.problems():
        raise BadQuestion("; ".join(problems))
    return found


def measured(days: UsageReport) -> UsageQuestion:
    """Returns the question from the first day on that anything is known of. `days`: a report by day, with a row at least."""
    asked = days.question
    first = whole_hour(moment(days.rows[0].key[0], 0, asked.time_zone))
    return UsageQuestion(max(asked.begin, first), asked.end, (), asked.only, asked.time_zone)
