"""What the ledger tells others of what it books: metrics, a collector by OTLP, Otari. Each attempt once, whatever is killed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from genset.cli import main
from genset.contracts.usage_records import UsageAttempt, UsageRecord
from genset.ledger.books import Books, Sending
from genset.ledger.database import Database
from genset.ledger.decoding import SegmentName
from genset.ledger.facts import facts
from genset.ledger.otari import MOST_RECORDS, OtariExport, OtariFailed, OtariTarget, events
from genset.ledger.tally import MOST_ROWS, OTHERS, BookedCounts, Group
from testbed.router import free_port
from tests.support.fake_otari import KEY, FakeOtari
from tests.support.ledger import Traffic, egress_segment
from tests.support.ledger_process import LedgerProcess


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def started(tmp_path: Path, url: str, *flags: str) -> LedgerProcess:
    ledger = LedgerProcess(tmp_path, url, *flags)
    ledger.start()
    return ledger


# Metrics


def scraped(port: int) -> dict[tuple[str, ...], float]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_what_was_booked(tmp_path: Path, url: str) -> None:
    port, traffic = free_port(), Traffic(3)
    ledger = started(tmp_path, url, "--metrics", f"127.0.0.1:{port}")
    try:
        assert scraped(port)["genset_ledger_records_total", "usage"] == 0
        traffic.add("abc", 90)
        for file, content in (*traffic.segments("abc"), egress_segment("e1", range(1, 6))):
            ledger.send(file, content)
        ledger.post(file, 0, content)  # once more
        assert ledger.post("usage-abc-000001.log", 0, b"junk\n", namespace="other").status_code == 409
        found = scraped(port)
        assert found["genset_ledger_records_total", "usage"] == 90
        assert found["genset_ledger_records_total", "egress"] == 10
        assert (found["genset_ledger_sendings_total", "booked"], found["genset_ledger_sendings_total", "known"]) == (
            4,
            2,
        )
        assert found["genset_ledger_taken_bytes_total",] == sum(
            len(content) for _, content in (*traffic.segments("abc"), (file, content))
        )
        assert found["genset_ledger_newest_record_timestamp_seconds",] == int(traffic.spools["abc"][-1]["time"])
        assert found["genset_ledger_failing",] == 0 and found["genset_ledger_database_bytes",] > 4096
        hand = traffic.by_hand()
        for team in ("accounting", "law"):
            rows = {key: value for key, value in found.items() if team in key}
            for currency in ("EUR", "USD"):
                paid = sum(v for k, v in rows.items() if k[0] == "genset_usage_cost_total" and currency in k)
                assert paid == pytest.approx(float(hand[team][f"cost {currency}"]), rel=1e-9)
            asked = sum(v for k, v in rows.items() if k[0] == "genset_usage_requests_total")
            assert asked == hand[team]["requests"]
        assert httpx.get(f"{ledger.url}/metrics").status_code == 404, "routers need not see what teams spend"
    finally:
        ledger.stop()


def test_a_ledger_without_a_database_says_so(tmp_path: Path, url: str) -> None:
    port = free_port()
    ledger = started(tmp_path, url, "--metrics", f"127.0.0.1:{port}")
    try:
        traffic = Traffic(4)
        traffic.add("abc", 5)
        ((file, content),) = traffic.segments("abc")
        lock = Database(url)
        with lock.writing():  # another process writes
            assert ledger.post(file, 0, content).status_code == 503
        lock.close()
        found = scraped(port)
        assert (found["genset_ledger_failing",], found["genset_ledger_sendings_total", "unavailable"]) == (1, 1)
        ledger.send(file, content)
        assert scraped(port)["genset_ledger_failing",] == 0
    finally:
        ledger.stop()


def test_rows_of_a_namespace_are_bounded_and_take_none_of_others() -> None:
    """Who has a namespace's token may write any team, policy, zone and currency, in its name alone."""
    counts = BookedCounts()

    def book(number: int, policy: str, **more: Any) -> None:
        attempt = UsageAttempt(
            "b",
            zone=more.get("zone", "eu"),
            prompt=1,
            cost=Decimal("0.5"),
            currency=more.get("currency", "EUR"),
            price="policy",
        )
        record = UsageRecord("i", number, 1.0, policy=policy, team=more.get("team", "law"), attempts=(attempt,))
        counts.booked({"usage": 1}, 1, {(0, fact.series): list(fact.measures) for fact in facts(record)})

    for number in range(3 * MOST_ROWS):
        book(number, f"bad/p{number}", team=f"t{number}", zone=f"z{number}", currency=f"C{number}")
    book(0, "good/assistant")
    book(1, "good/assistant")
    rows = len(counts.usage) + len(counts.cost)
    assert rows <= MOST_ROWS + 3
    assert sum(c["prompt"] for group, c in counts.usage.items() if group.policy.startswith("bad/")) == 3 * MOST_ROWS
    good = Group("good/assistant", "law", "eu")
    assert counts.usage[good]["requests"] == 2 and counts.cost[good, "EUR"] == 1
    assert any(group == Group(f"bad/{OTHERS}", OTHERS, "") for group in counts.usage)


# OTLP


class MetricsCollector:
    """A collector of OTLP metrics, as far as it keeps the last value of each."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], float] = {}
        self.service = ""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/metrics"
                collector.take(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, sent: ExportMetricsServiceRequest) -> None:
        for resource in sent.resource_metrics:
            self.service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                assert metric.sum.is_monotonic
                for point in metric.sum.data_points:
                    key = (metric.name, *sorted(a.value.string_value for a in point.attributes))
                    self.found[key] = point.as_double or point.as_int

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_collector_gets_the_same_sums(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    collector, traffic = MetricsCollector(), Traffic(6)
    ledger = started(tmp_path, url, "--otlp-endpoint", collector.url)
    try:
        traffic.add("abc", 60)
        for file, content in traffic.segments("abc"):
            ledger.send(file, content)
        hand = traffic.by_hand("policy")[""]

        def requests() -> float:
            return sum(value for key, value in collector.found.items() if key[0] == "genset.usage.requests")

        until(lambda: requests() == 60, "all requests at the collector")
        assert collector.service == "genset-ledger"
        paid = sum(v for k, v in collector.found.items() if k[0] == "genset.usage.cost" and "USD" in k)
        assert paid == pytest.approx(float(hand["cost USD"]), rel=1e-9)
    finally:
        ledger.stop()
        collector.close()


# Otari


@pytest.fixture
def otari() -> Iterator[FakeOtari]:
    with FakeOtari() as fake:
        yield fake


@pytest.fixture
def flags(tmp_path: Path, otari: FakeOtari) -> list[str]:
    (tmp_path / "otari.key").write_text(KEY)
    return ["--otari", otari.url, "--otari-key-file", str(tmp_path / "otari.key")]


def by_hand(traffic: Traffic) -> dict[tuple[str, str], tuple[int, int]]:
    """Returns what Otari should hold: an event for each attempt, with its tokens."""
    return {
        ("genset", f"{incarnation}-{one['n']}-{place}"): (attempt.get("prompt", 0), attempt.get("completion", 0))
        for incarnation, spool in traffic.spools.items()
        for one in spool
        for place, attempt in enumerate(one.get("attempts", []))
    }


def held(otari: FakeOtari) -> dict[tuple[str, str], tuple[int, int]]:
    return {key: (event["input_tokens"], event["output_tokens"]) for key, event in otari.events.items()}


def test_kills_and_lost_answers_pass_each_attempt_on_once(
    tmp_path: Path, url: str, otari: FakeOtari, flags: list[str]
) -> None:
    draw, traffic = random.Random(5), Traffic(8)
    ledger = started(tmp_path, url, *flags)
    try:
        for round_ in range(6):
            incarnation = f"r{round_}"
            traffic.add(incarnation, MOST_RECORDS // 2)
            otari.deaf, otari.away = round_ in (1, 3), round_ == 4
            for file, content in traffic.segments(incarnation, 50):
                ledger.send(file, content)
            time.sleep(draw.uniform(0, 0.5))
            ledger.kill()
            ledger.start()
        otari.deaf = otari.away = False
        ledger.kill()
        ledger.start()
        until(lambda: len(otari.events) == len(by_hand(traffic)), "all attempts at Otari")
        assert held(otari) == by_hand(traffic) and not otari.refused
    finally:
        ledger.stop()


def exported(url: str, tmp_path: Path, otari: FakeOtari, traffic: Traffic, user: str = "") -> OtariExport:
    """Books traffic, and returns who passes it on."""
    (tmp_path / "otari.key").write_text(KEY)
    database = Database(url)
    database.open()
    books = Books(database)
    for incarnation in traffic.spools:
        for file, content in traffic.segments(incarnation):
            books.take([Sending(SegmentName.read(file), 0, content)])
    return OtariExport(database, OtariTarget(otari.url, tmp_path / "otari.key", user))


def passed_on(export: OtariExport) -> None:
    while (last := export.step()) is not None:
        export.done(last)


def test_whose_user_is_missing_is_told_and_nothing_is_passed_over(tmp_path: Path, url: str, otari: FakeOtari) -> None:
    traffic = Traffic(9)
    traffic.add("abc", 30)
    otari.users = set()
    export = exported(url, tmp_path, otari, traffic, "house")
    with pytest.raises(OtariFailed, match="it rejected everything: house not found"):
        export.step()
    assert "house not found" in export.counts.failing
    otari.users = {"house"}
    passed_on(export)
    assert held(otari) == by_hand(traffic) and export.counts.failing == ""
    passed_on(export)
    assert export.counts.events["duplicate"] == 0, "it knows how far it is"


def test_one_event_that_is_refused_holds_up_no_other(tmp_path: Path, url: str, otari: FakeOtari) -> None:
    traffic = Traffic(10)
    traffic.add("abc", 40)
    otari.refuses = next(iter(by_hand(traffic)))[1]
    export = exported(url, tmp_path, otari, traffic)
    passed_on(export)
    missing = set(by_hand(traffic)) - set(otari.events)
    assert missing and all(event_id.startswith(otari.refuses) for _, event_id in missing)
    assert export.counts.events["rejected"] == len(missing)


@pytest.mark.parametrize(
    ("change", "why"), [("key", "it answered 401"), ("path", "it answered 404"), ("gone", "refused")]
)
def test_what_is_wrong_is_said(tmp_path: Path, url: str, otari: FakeOtari, change: str, why: str) -> None:
    traffic = Traffic(11)
    traffic.add("abc", 3)
    export = exported(url, tmp_path, otari, traffic)
    if change == "key":
        (tmp_path / "otari.key").write_text("wrong")
    elif change == "path":
        export._target = OtariTarget(f"{otari.url}/elsewhere", tmp_path / "otari.key")
    else:
        export._target = OtariTarget("http://127.0.0.1:1", tmp_path / "otari.key")
    with pytest.raises(OtariFailed, match=why):
        export.step()
    assert not otari.events


STRANGE = UsageRecord(
    "abc", 7, 1_780_000_000.5, policy="law/assistant", consumer="Jörg (ext)", seconds=1.25,
    attempts=(
        UsageAttempt("house", model='qwen "3" <8b>', outcome="interrupted", prompt=10, completion=2**40),
        UsageAttempt("paris", model="", outcome="ok", prompt=9, cached=4, cache_write=3, cache_write_hour=1, completion=5,
                     cost=Decimal("0.1")),
    ),
)  # fmt: skip


def test_names_and_counts_are_as_otari_takes_them(otari: FakeOtari) -> None:
    import json

    status, told = otari.take(json.dumps({"source": "genset", "events": list(events(STRANGE))}).encode())
    assert (status, told["accepted"]) == (200, 2), otari.refused
    first, second = (otari.events["genset", f"abc-7-{place}"] for place in (0, 1))
    assert (first["model"], first["status"], first["output_tokens"]) == ("qwen--3---8b-", "error", 2**31 - 1)
    assert first["session_label"] == "law/assistant/J-rg--ext-" and first["duration_ms"] is None
    assert (second["model"], second["status"], second["duration_ms"]) == ("paris", "success", 1250)
    assert (second["cache_read_tokens"], second["cache_write_tokens"], second["cache_write_1h_tokens"]) == (4, 3, 1)
    assert second["cache_tokens_in_prompt"] is True


def test_options_that_belong_together() -> None:
    found: Any = CliRunner().invoke(main, ["ledger", "serve", "--otari", "http://otari"])
    assert found.exit_code == 2 and "--otari and --otari-key-file belong together" in found.output
