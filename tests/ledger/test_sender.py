"""A router's records reach a real ledger, whatever becomes of either; what the ledger has makes way first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from genset.continuity.drills.evidence import EvidenceReading, checked, run_hash
from genset.continuity.drills.evidence import document as document_of
from genset.contracts.drill import DrillPhase
from genset.contracts.ledger import EGRESS_PATH, token
from genset.contracts.router_config import LedgerConfig
from genset.contracts.usage import EgressReading, line
from genset.ledger.report import UsageQuestion
from genset.router.backends.credentials import Credentials
from genset.router.http import spool as spools
from genset.router.http.spool import Spool
from genset.router.process import ledger_sender
from genset.router.process.ledger_sender import LedgerSender
from genset.times import seconds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from tests.ledger.test_books import assert_by_hand
from tests.router.test_drills import ended, give, order
from tests.support.ledger import Traffic, egress_segment
from tests.support.ledger_process import EVER, KEY, LedgerProcess

FILE = "ledger.token"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "spool"
    made.mkdir()
    return made


def sender(
    ledger: LedgerProcess,
    folder: Path,
    *held: Spool,
    namespace: str = "law",
    clock: Callable[[], float] = time.monotonic,
) -> LedgerSender:
    made = LedgerSender(folder, lambda: list(held), clock)
    credentials = Credentials({FILE: token(KEY, namespace).encode()}, "a folder")
    made.take(LedgerConfig(url=ledger.url, token_file=FILE), credentials)
    return made


def at_ledger(ledger: LedgerProcess) -> EgressReading:
    reading = EgressReading()
    reading.add(ledger.read(EGRESS_PATH).content)
    return reading


def spool(folder: Path, incarnation: str) -> Iterator[tuple[Spool, int]]:
    """Yields a spool that gets an entry for each number."""
    _, content = egress_segment(incarnation, range(0))
    made = Spool(folder, incarnation, content)
    number = 0
    while True:
        number += 1
        told = {"kind": "begun", "n": number, "time": 1.0, "request": f"r{number}", "backend": "paris", "zone": "eu"}
        assert made.add(line(orjson.dumps(told)), time.monotonic())
        yield made, number


async def test_what_a_router_writes_down_is_at_the_ledger(tmp_path: Path, ledger: LedgerProcess) -> None:
    where = tmp_path / "spool"
    async with ScriptedUpstream() as far:
        document = {**config(cloud(far.base_url, dataZone="eu")), "egress": {"required": True}}
        document["ledger"] = {"url": ledger.url, "tokenFile": FILE}
        credentials = {FILE: token(KEY, "models").encode()}
        async with RunningRouter(tmp_path, document, credentials, spool=where) as router:
            for _ in range(5):
                assert (await router.ask(chat())).complete
            await until(lambda: len(at_ledger(ledger).found()) == 5, what="five entries at the ledger")
            ledger.kill()
            for _ in range(5):
                assert (await router.ask(chat())).complete, "no request waits for the ledger"
            await until(lambda: router.router.parts.ledger.failing != "", what="that it is away")
            metrics = (await router.admin("/metrics")).body.decode()
            assert "genset_router_ledger_failing 1.0" in metrics
            state = (await router.admin("/-/state")).body
            assert orjson.loads(state)["ledger"]["waitingSegments"] == 1
            ledger.start()
    there, here = at_ledger(ledger), EgressReading()  # a router that ends sends what is left
    for path in where.iterdir():
        here.add(path.read_bytes())
    assert len(here.found()) == 10 and there.found() == here.found()


def test_a_ledger_that_stays_away_is_an_outage(folder: Path, ledger: LedgerProcess) -> None:
    """A new pod of the ledger is none."""
    now = [1000.0]
    file, content = egress_segment("e1", range(1, 3))
    (folder / file).write_bytes(content)
    made = sender(ledger, folder, clock=lambda: now[0])
    assert made.send() and made.outage(0.0) is None
    ledger.kill()
    (folder / egress_segment("e2", range(1, 3))[0]).write_bytes(egress_segment("e2", range(1, 3))[1])
    assert not made.send() and made.outage(0.0) is None
    now[0] += ledger_sender.AWAY_SECONDS
    assert not made.send()
    told = made.outage(seconds("2026-11-21T10:00:30Z"))
    assert told is not None and (told.scope, told.since) == ("Ledger", "2026-11-21T10:00:00Z") and told.detail
    ledger.start()
    assert made.send() and made.outage(0.0) is None


async def test_evidence_of_drills_is_at_the_ledger(tmp_path: Path, ledger: LedgerProcess) -> None:
    where = tmp_path / "spool"
    async with ScriptedUpstream() as far, ScriptedUpstream() as near:
        document = {
            **config(cloud(far.base_url), house(near.base_url)),
            "ledger": {"url": ledger.url, "tokenFile": FILE},
        }
        document["usage"] = {"spoolBytes": 1024 * 1024}
        credentials = {FILE: token(KEY, "models").encode()}
        async with RunningRouter(tmp_path, document, credentials, spool=where) as router:
            give(router, order(fault="RateLimited", takes=["house"], id="none-1"))
            aborted = await ended(router)
            assert "no route asks first" in aborted.why
            give(router, order(id="cloud-1", previous=run_hash("", [aborted.evidence])))
            report = await ended(router, id_="cloud-1")
            assert report.phase == DrillPhase.PASSED, report

            def read() -> EvidenceReading:
                found = EvidenceReading("models/assistant")
                found.add(ledger.read(EGRESS_PATH).content)
                return found

            await until(lambda: len(read().runs()) == 2, what="both runs at the ledger")
            head = run_hash(run_hash("", [aborted.evidence]), [report.evidence])
            found = checked(document_of("models/assistant", read().runs(), head))
            assert not found.problems and not found.unproved and found.head == head
            usage_lines = b"".join(path.read_bytes() for path in where.glob("usage-*.log"))
    assert b'"drill":"cloud"' in usage_lines and b'"request":"drill-cloud-1"' in usage_lines


def test_both_are_killed_and_nothing_is_lost_or_doubled(folder: Path, ledger: LedgerProcess) -> None:
    traffic = Traffic(41)
    lines = iter(spool(folder, "e1"))
    for round_ in range(6):
        incarnation = f"u{round_}"
        traffic.add(incarnation, 40)
        for file, content in traffic.segments(incarnation):  # as a process that was killed has left it
            (folder / file).write_bytes(content.ljust(2**17, b"\0"))
        for _ in range(30):
            held, _ = next(lines)
        if round_ % 2:
            ledger.kill()
            assert not sender(ledger, folder, held).send()
            ledger.start()
        made = sender(ledger, folder, held)  # and as one that knows nothing of what was sent
        assert made.send(), made.failing
    assert_by_hand(ledger.usage(UsageQuestion(0, EVER.end, ("team",))), traffic)
    assert len(at_ledger(ledger).entries) == 180
    assert [path.name for path in folder.iterdir()] == ["egress-e1-000001.log"]


def test_a_segment_that_is_written_is_sent_as_far_as_it_goes(
    folder: Path, ledger: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(ledger_sender, "PIECE_BYTES", 900)
    made = None
    for held, number in spool(folder, "e1"):
        made = made or sender(ledger, folder, held)
        if number % 13 == 0:
            assert made.send()
            assert len(at_ledger(ledger).entries) == number
        if number == 130:
            break
    assert made is not None and made.waiting == 0
    assert len(list(folder.iterdir())) > 2


def test_what_the_ledger_has_is_no_loss(folder: Path, ledger: LedgerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(spools, "SEGMENTS", 4)
    held, made = None, None
    for held, number in spool(folder, "e1"):
        made = made or sender(ledger, folder, held)
        if number % 20 == 0:
            made.send()
        if number == 400:
            break
    assert held is not None and held.lost == 0 and len(held.names()) == 4
    assert len(held._acknowledged) <= 4, "what has gone is forgotten"
    assert len(at_ledger(ledger).entries) == 400
    ledger.kill()
    away = next(one for one, number in spool(folder, "e2") if number == 400)
    assert away.lost > 0


def test_a_ledger_that_refuses_is_told(folder: Path, ledger: LedgerProcess) -> None:
    file, content = egress_segment("e1", range(1, 3))
    (folder / file).write_bytes(content)
    wrong = sender(ledger, folder, namespace="other")
    assert not wrong.send() and "the token is that of namespace other" in wrong.failing
    (folder / file).write_bytes(content[content.index(b"\n") + 1 :])
    spoilt = sender(ledger, folder)
    assert spoilt.send() and spoilt.send()  # others are not held up by it
    assert (folder / file).exists() and at_ledger(ledger).found() == []


def test_a_new_token_is_used_at_once(folder: Path, ledger: LedgerProcess) -> None:
    file, content = egress_segment("e1", range(1, 3))
    (folder / file).write_bytes(content)
    made = LedgerSender(folder, list)
    where = LedgerConfig(url=ledger.url, token_file=FILE)
    made.take(where, Credentials({}, ""))
    assert not made.send() and "no token of this ledger" in made.failing
    made.take(where, Credentials({FILE: token(KEY, "law").encode()}, ""))
    assert made.send() and made.failing == ""
    made.take(None, Credentials({}, ""))
    assert made.send()


def test_what_is_no_segment_is_left_alone(folder: Path, ledger: LedgerProcess) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "usage-x").write_text("mine")
    assert sender(ledger, folder).send()
    assert sender(ledger, folder / "nowhere").send()
    assert len(list(folder.iterdir())) == 2


async def test_the_end_of_a_process_does_not_wait_for_ever(
    folder: Path, ledger: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sender, "FINISH_SECONDS", 0.2)
    made = sender(ledger, folder)
    monkeypatch.setattr(made, "send", lambda: time.sleep(1))
    began = asyncio.get_running_loop().time()
    await made.finish()
    assert asyncio.get_running_loop().time() - began < 0.9
