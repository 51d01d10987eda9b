"""A real ledger on a socket: who may, what it answers, and what is left of it after any end."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from genset.contracts.ledger import EGRESS_PATH, READER, REQUESTS_PATH, SPOOLS_PATH, USAGE_PATH, token
from genset.contracts.usage import EgressReading
from genset.ledger.database import Database
from genset.ledger.report import UsageQuestion
from genset.ledger.tables import LINKS, RECORDS
from tests.ledger.test_books import assert_by_hand
from tests.support.ledger import Traffic, egress_segment
from tests.support.ledger_process import EVER, KEY, LedgerProcess
from tests.support.postgres import Postgres

BY_TEAM = UsageQuestion(EVER.begin, EVER.end, ("team",))


def rows(url: str) -> tuple[int, int]:
    """Counts records and links in a database."""
    database = Database(url)
    with database.reading() as connection:
        found = [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (RECORDS, LINKS)]
    database.close()
    return found[0], found[1]


def test_a_segment_is_taken_piece_by_piece(ledger: LedgerProcess) -> None:
    traffic = Traffic()
    traffic.add("abc", 100)
    for file, content in traffic.segments("abc"):
        assert ledger.send(file, content, step=777) == len(content)
    assert_by_hand(ledger.usage(BY_TEAM), traffic)


def test_whoever_begins_elsewhere_is_told_where(ledger: LedgerProcess) -> None:
    traffic = Traffic()
    traffic.add("abc", 5)
    ((file, content),) = traffic.segments("abc")
    assert (ledger.post(file, 10, content[10:]).status_code, ledger.post(file, 10, b"").json()) == (409, {"have": 0})
    ledger.send(file, content)
    again = ledger.post(file, 0, content)
    assert (again.status_code, again.json()) == (409, {"have": len(content)})


def test_what_left_the_house_is_read_back(ledger: LedgerProcess) -> None:
    file, content = egress_segment("abc", range(1, 8))
    ledger.send(file, content)
    headers = {"authorization": f"Bearer {token(KEY, READER)}"}
    there, answered = EgressReading(), EgressReading()
    there.add(content)
    answered.add(httpx.get(f"{ledger.url}{EGRESS_PATH}", headers=headers).content)
    assert answered.found() == there.found() != []
    one = httpx.get(f"{ledger.url}{REQUESTS_PATH}/r-3", headers=headers).json()
    assert [(line["n"], line["kind"], line["policy"]) for line in one["egress"]] == [
        (3, "begun", "law/assistant"), (3, "ended", "law/assistant"),
    ]  # fmt: skip
    assert httpx.get(f"{ledger.url}{REQUESTS_PATH}/r-99", headers=headers).status_code == 404


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_who_may(ledger: LedgerProcess) -> None:
    traffic = Traffic()
    traffic.add("abc", 1)
    ((file, content),) = traffic.segments("abc")
    path = f"{ledger.url}{SPOOLS_PATH}/abc/{file}"

    def ask(method: str, where: str, shown: str | None) -> tuple[int, str]:
        headers = {} if shown is None else {"authorization": shown}
        answer = httpx.request(method, where, headers=headers, content=content if method == "POST" else None)
        return answer.status_code, answer.json().get("error", "")

    for wrong in (None, "Bearer", "Bearer gsl-law.00", "Basic eA==", f"Bearer {token(b'another key', 'law')}"):
        assert ask("POST", path, wrong)[0] == 401
        assert ask("GET", f"{ledger.url}{USAGE_PATH}", wrong)[0] == 401
    assert ask("POST", path, f"Bearer {token(KEY, 'other')}") == (
        403, "the token is that of namespace other, and the records are of law",
    )  # fmt: skip
    assert ask("POST", path, f"Bearer {token(KEY, READER)}") == (403, "this token may read, and not send")
    assert ask("GET", f"{ledger.url}{USAGE_PATH}?from=0&to=1", f"Bearer {token(KEY, 'law')}")[0] == 403
    assert ask("GET", f"{ledger.url}{USAGE_PATH}?from=0", f"Bearer {token(KEY, READER)}") == (
        400, "to '' is no time; write seconds since 1970",
    )  # fmt: skip
    assert ledger.usage().total.counts["requests"] == 0
    ledger.key_file.write_bytes(b"a new key")  # takes effect at once
    assert ask("POST", path, f"Bearer {token(b'a new key', 'law')}")[0] == 200
    assert ask("POST", path, f"Bearer {token(KEY, 'law')}")[0] == 401


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("where", "body", "status"),
    [
        ("/abc/usage-abc-1.log?offset=x", b"", 400),
        ("/abc/usage-abc-1.log?offset=-1", b"", 400),
        ("/abc/usage-def-1.log", b"", 400),
        ("/abc/passwd", b"", 400),
        ("/abc/usage-abc-1.log", b"junk\n", 400),
        ("/abc/usage-abc-1.log", b"x" * (4 * 1024 * 1024 + 1), 413),
        ("/abc/usage-abc-1.log", b"", 200),
    ],
)
def test_what_is_no_piece_is_refused(ledger: LedgerProcess, where: str, body: bytes, status: int) -> None:
    headers = {"authorization": f"Bearer {token(KEY, 'law')}"}
    assert httpx.post(f"{ledger.url}{SPOOLS_PATH}{where}", content=body, headers=headers).status_code == status


class Senders:
    """Routers that send their spools at the same time, and go on wherever the ledger says, whatever becomes of it."""

    def __init__(self, ledger: LedgerProcess, spools: list[list[tuple[str, bytes]]]) -> None:
        self._ledger = ledger
        self.acknowledged: dict[str, int] = {}
        self.problems: list[str] = []
        self.refused = 0  # answers that said that nothing can be booked now
        self._threads = [threading.Thread(target=self._send, args=(spool,)) for spool in spools]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def wait(self, seconds: float) -> None:
        for thread in self._threads:
            thread.join(seconds)
        assert not self.busy and not self.problems, self.problems

    def _send(self, spool: list[tuple[str, bytes]]) -> None:
        draw = random.Random(spool[0][0])
        for file, content in spool:
            have = 0
            while have < len(content):
                size = draw.randint(3000, 9000)
                try:
                    answer = self._ledger.post(file, have, content[have : have + size])
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                if answer.status_code == 503:
                    self.refused += 1
                    time.sleep(0.05)
                elif answer.status_code in (200, 409):
                    have = answer.json()["have"]
                    if have < self.acknowledged.get(file, 0):
                        self.problems.append(f"{file}: {self.acknowledged[file]} bytes were acknowledged, now {have}")
                        return
                    self.acknowledged[file] = have
                else:
                    self.problems.append(f"{file}: {answer.status_code} {answer.text}")
                    return


def many(traffic: Traffic, routers: int, requests: int) -> list[list[tuple[str, bytes]]]:
    for number in range(routers):
        traffic.add(f"r{number}", requests)
    return [traffic.segments(f"r{number}", 200) for number in range(routers)]


def troubled(senders: Senders, trouble: Callable[[], None], most: int) -> int:
    """Makes trouble at random moments while somebody sends; returns how often."""
    draw = random.Random(7)
    for times in range(most):
        time.sleep(draw.uniform(0.02, 0.3))
        if not senders.busy:
            return times
        trouble()
    return most


def test_kills_lose_nothing_and_double_nothing(ledger: LedgerProcess, url: str) -> None:
    traffic = Traffic(11)
    spools = many(traffic, 4, 1200)
    spools.append([egress_segment("e1", range(1, 1000))])
    senders = Senders(ledger, spools)

    def kill() -> None:
        ledger.kill()
        ledger.start()

    kills = troubled(senders, kill, 8)
    senders.wait(60)
    assert kills >= 5
    assert_by_hand(ledger.usage(BY_TEAM), traffic)
    assert rows(url) == (4800, 1998)
    for file, content in (segment for spool in spools for segment in spool):
        assert ledger.post(file, 0, content).json() == {"have": len(content)}
    assert rows(url) == (4800, 1998)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_database_that_dies_loses_nothing(ledger: LedgerProcess, url: str, postgres: Postgres) -> None:
    traffic = Traffic(12)
    senders = Senders(ledger, many(traffic, 3, 600))

    def crash() -> None:
        postgres.stop(at_once=True)
        time.sleep(0.1)
        postgres.start()

    crashes = troubled(senders, crash, 5)
    senders.wait(60)
    assert crashes >= 3 and senders.refused
    assert_by_hand(ledger.usage(BY_TEAM), traffic)
    assert rows(url)[0] == 1800


def fill(filler: Path) -> None:
    """Takes all room that is left: what SQLite makes of its log of writes, too."""
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    url = str(small_disk / "ledger.db")
    ledger = LedgerProcess(tmp_path, url)
    ledger.start()
    try:
        traffic = Traffic(13)
        early, late = many(traffic, 2, 600)
        for file, content in early:
            ledger.send(file, content)
        filler = small_disk / "filler"
        senders = Senders(ledger, [late])
        deadline = time.monotonic() + 20
        while not senders.refused:
            assert time.monotonic() < deadline, "the disk was not full"
            fill(filler)
            time.sleep(0.02)
        ready = httpx.get(f"{ledger.url}/readyz")
        assert (ready.status_code, "the disk is full" in ready.text) == (503, True), ready.text
        assert httpx.get(f"{ledger.url}/healthz").status_code == 200
        assert ledger.usage().total.counts["requests"] >= 600  # it goes on answering
        ledger.kill()  # and may die now, too
        filler.unlink()
        ledger.start()
        senders.wait(30)
        assert httpx.get(f"{ledger.url}/readyz").status_code == 200
        assert_by_hand(ledger.usage(BY_TEAM), traffic)
    finally:
        ledger.stop()
