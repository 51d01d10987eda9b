"""The tables of docs/observability.md, from the code that makes what they describe. Called by tools/generated.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import Metric

from genset.ledger.books import Books
from genset.ledger.database import Database
from genset.ledger.metrics import LedgerCollector
from genset.ledger.otari import OtariCounts
from genset.ledger.tally import BookedCounts
from genset.ledger.writer import Writer
from genset.router.errors import ConfigRejected
from genset.router.process.exposition import RouterCollector
from genset.router.process.reload import LoadedConfig
from genset.router.process.server import Router, ServerOptions
from genset.router.telemetry.log_line import FIELDS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "observability.md"
LEDGER_PAGE = PAGE.with_name("ledger.md")


class _Nothing:
    """A source of no configuration: only the names of metrics are wanted."""

    def fingerprint(self) -> object:
        return None

    def load(self) -> LoadedConfig:
        raise ConfigRejected("nothing to load")


def page() -> str:
    """The page with its tables as they should be."""
    text = _filled(PAGE.read_text(), "metrics", asyncio.run(_metrics()))
    return _filled(text, "access log", ["| field | what it says |", "|---|---|", *_fields()])


def ledger_page() -> str:
    """The ledger's page with the table of its metrics."""
    return _filled(LEDGER_PAGE.read_text(), "ledger metrics", asyncio.run(_ledger_metrics()))


async def _ledger_metrics() -> list[str]:
    database = Database("ledger.db")  # which nobody opens
    writer = Writer(Books(database))
    return metrics(LedgerCollector(BookedCounts(), writer, Path("ledger.db"), OtariCounts()).collect())


async def _metrics() -> list[str]:
    router = Router(_Nothing(), ServerOptions(("127.0.0.1", 0), None, access_log=None))
    return metrics(RouterCollector(router.parts).collect())


def metrics(families: Iterable[Metric]) -> list[str]:
    """One line per family."""
    lines = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = " ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return lines


def _fields() -> list[str]:
    return [f"| `{name}` | {text} |" for name, text in FIELDS.items()]


def _filled(text: str, name: str, lines: list[str]) -> str:
    start, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{PAGE.name}: put {start} and {end} where the table belongs")
    return pattern.sub(lambda _: "\n".join([start, *lines, end]), text)
