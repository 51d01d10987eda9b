"""Reports of usage come from a ledger, by its API or its database, or are made of spools as routers have them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from genset import names
from genset.contracts import usage_records
from genset.contracts.ledger import ERROR, READER, USAGE_PATH, token
from genset.contracts.usage import SUFFIX
from genset.kubectl import KubectlError, forwarded
from genset.ledger.database import Database, LedgerError
from genset.ledger.decoding import BadPiece, SegmentName, decode
from genset.ledger.facts import HOUR, Sums, add, facts
from genset.ledger.questions import query
from genset.ledger.reading import usage
from genset.ledger.report import UsageQuestion, UsageReport, report
from genset.ledger.seen import Seen
from genset.usage.sources import TIMEOUT_SECONDS, UsageError, asked_kubectl

_MISSING: Final = "a cluster is asked with kubectl: install it, or give --ledger URL, --database or -f SPOOL"


def from_url(url: str, shown: str, question: UsageQuestion) -> UsageReport:
    """Asks the ledger at `url`. Raises UsageError."""
    with httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_SECONDS) as client:
        try:
            answer = client.get(USAGE_PATH, params=query(question), headers={"authorization": f"Bearer {shown}"})
            told = answer.json()
            if answer.status_code != 200:
                raise UsageError(f"{url}: {told[ERROR]}")
            return UsageReport.read(question, told)
        except (httpx.HTTPError, ValueError, KeyError, TypeError, ArithmeticError) as problem:
            raise UsageError(f"{url}: {problem}; give the address of a ledger, e.g. http://127.0.0.1:8090") from problem


def from_database(url: str, question: UsageQuestion) -> UsageReport:
    """Asks a ledger's database. Raises UsageError."""
    try:
        database = Database(url)
        if database.file is not None and not database.file.exists():
            raise UsageError(f"{url} is not there; name the ledger's database")
        try:
            return usage(database, question)
        finally:
            database.close()
    except LedgerError as problem:
        raise UsageError(str(problem)) from problem


def from_files(paths: Iterable[Path], question: UsageQuestion) -> tuple[UsageReport, int]:
    """Reads spools, which are folders, and segments. Returns a report, and how many lines cannot be read. Raises UsageError."""
    sums: Sums = {}
    seen: dict[str, Seen] = {}
    torn = 0
    for segment in _segments(paths):
        try:
            name = SegmentName.read(segment.name)
            piece = decode(name, None, segment.read_bytes())
        except OSError as problem:
            raise UsageError(f"{segment}: {problem.strerror}; name a spool's folder, or a segment in it") from problem
        except BadPiece as problem:
            raise UsageError(str(problem)) from problem
        torn += piece.torn
        booked = seen.setdefault(name.incarnation, Seen())
        for one in piece.lines:
            if one.record is not None and booked.add(one.number):
                add(sums, facts(one.record), HOUR)
    begin, end = question.begin // HOUR, question.end // HOUR
    return report(question, ((slot, series, row) for (slot, series), row in sums.items() if begin <= slot < end)), torn


def _segments(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        found = sorted(path.glob(f"{usage_records.PREFIX}*{SUFFIX}")) if path.is_dir() else [path]
        if not found:
            raise UsageError(f"{path}: no segment {usage_records.PREFIX}*{SUFFIX} in there; name the folder of --spool")
        yield from found


def from_cluster(context: str | None, namespace: str, question: UsageQuestion) -> UsageReport:
    """Asks the ledger of a cluster. Raises UsageError."""
    with cluster_ledger(context, namespace) as (url, shown):
        return from_url(url, shown, question)


@contextmanager
def cluster_ledger(context: str | None, namespace: str) -> Iterator[tuple[str, str]]:
    """Gives URL and token of a cluster's ledger, by a port-forward and with the key in its Secret. Raises UsageError."""
    selector = f"{names.LABEL_COMPONENT}={names.COMPONENT_LEDGER}"
    found = _asked(context, namespace, "services", "-l", selector)["items"]
    if not found:
        raise UsageError(
            f"there is no ledger in namespace {namespace}: install the chart with ledger.enabled=true, or name its namespace "
            "with --namespace"
        )
    service = found[0]["metadata"]["name"]
    named = found[0]["metadata"].get("annotations", {}).get(names.ANNOTATION_LEDGER_SECRET, f"{service}-key")
    secret = _asked(context, namespace, "secret", named)
    try:
        key = base64.b64decode(secret["data"][names.LEDGER_SECRET_KEY]).strip()
    except (KeyError, ValueError) as problem:
        raise UsageError(
            f"Secret {secret['metadata']['name']} in namespace {namespace} has no {names.LEDGER_SECRET_KEY}"
        ) from problem
    try:
        with forwarded(namespace, f"service/{service}", names.LEDGER_PORT, missing=_MISSING, context=context) as port:
            yield f"http://127.0.0.1:{port}", token(key, READER)
    except KubectlError as problem:
        raise UsageError(str(problem)) from problem


def _asked(context: str | None, namespace: str, *what: str) -> Any:
    return json.loads(asked_kubectl(context, "-n", namespace, "get", *what, "-o", "json", missing=_MISSING))
