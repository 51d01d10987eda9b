"""Measures the ledger: records a second on one core, and how long questions take over ten million of them.

A real ledger runs as a process of its own, bound to one core; pieces come to it over HTTP as routers send them. For questions,
what was booked so is copied in the database, shifted by days, until there are enough records and sums: the tables are then what
booking would have made of that many, in minutes instead of hours.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import click
import httpx
import orjson

from genset.contracts.ledger import READER, SPOOLS_PATH, USAGE_PATH, token
from genset.contracts.usage import line, opening
from genset.contracts.usage_records import segment_name
from genset.ledger.database import Database
from genset.ledger.facts import DAY, MEASURES
from genset.ledger.tables import RECORDS

KEY: Final = b"bench"
BEGIN: Final = 1_780_012_800  # a midnight in May 2026
PIECE_LINES: Final = 250  # of a router with 250 requests a second
QUESTIONS: Final = {
    "the total": {},
    "by team, zone": {"by": "team,zone"},
    "by consumer, model": {"by": "consumer,model"},
    "by day, size class, zone": {"by": "day,sizeClass,zone"},
    "by hour, zone": {"by": "hour,zone"},
    "by day in Berlin, one team": {"by": "day", "team": "team-3", "timeZone": "Europe/Berlin"},
}


@click.command("ledger")
@click.option("--seconds", default=20.0, show_default=True, help="How long records are sent.")
@click.option("--records", default=10_000_000, show_default=True, help="How many there are when questions are asked.")
@click.option(
    "--core", default=0, show_default=True, help="The core that the ledger runs on; what sends runs on others."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the large database here, and use it if it is there."
)
def command(seconds: float, records: int, core: int, keep: Path | None) -> None:
    """Measure the ledger: records a second on one core, and questions over many."""
    with tempfile.TemporaryDirectory() as folder:
        rate, spent, size = _booked(Path(folder), seconds, core)
        click.echo(
            json.dumps({"recordsPerSecond": round(rate), "cpuMicroseconds": round(spent * 1e6), "bytesPerRecord": size})
        )
        large = keep or Path(folder) / "large.db"
        if not large.exists():
            _enlarged(Path(folder) / "ledger.db", large, records)
        click.echo(json.dumps(_questions(Path(folder), large, core)))


class _Ledger:
    """A ledger on one core."""

    def __init__(self, folder: Path, database: Path, core: int) -> None:
        key, log = folder / "key", folder / "log"
        key.write_bytes(KEY)
        command = [
            sys.executable,
            "-m",
            "genset",
            "ledger",
            "serve",
            "--database",
            str(database),
            "--key-file",
            str(key),
        ]
        options = ["--raw-days", "0", "--hourly-days", "0", "--listen", "127.0.0.1:0"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(["taskset", "-c", str(core), *command, *options], stderr=out)
        while b"Listened on " not in log.read_bytes():
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        self.url = f"http://{log.read_text().split('Listened on ')[1].split()[0]}"

    def cpu(self) -> float:
        """Returns the seconds of CPU that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def _booked(folder: Path, seconds: float, core: int) -> tuple[float, float, int]:
    """Sends pieces as fast as the ledger takes them. Returns records a second, CPU seconds of one, bytes on the disk of one."""
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {core} or {core})
    database = folder / "ledger.db"
    ledger = _Ledger(folder, database, core)
    headers = {"authorization": f"Bearer {token(KEY, 'law')}"}
    pieces = list(_pieces(int(seconds * 40)))
    sent, began, cpu = 0, time.perf_counter(), ledger.cpu()
    with httpx.Client(base_url=ledger.url, headers=headers, timeout=60) as client:
        for path, body in pieces:
            client.post(path, content=body).raise_for_status()
            sent += PIECE_LINES
            if time.perf_counter() - began > seconds:
                break
    took, spent = time.perf_counter() - began, ledger.cpu() - cpu
    ledger.stop()
    return sent / took, spent / sent, database.stat().st_size // sent


def _pieces(count: int) -> Iterator[tuple[str, bytes]]:
    """Yields pieces of four routers in turn, each a segment of its own, over a day."""
    draw = random.Random(7)
    for number in range(count):
        incarnation, at = f"r{number % 4}", number // 4
        first = at * PIECE_LINES + 1
        lines = [opening(incarnation, "law/assistant", f"router-{incarnation}", BEGIN)]
        for n in range(first, first + PIECE_LINES):
            moment = BEGIN + (number * PIECE_LINES + n - first) * DAY / (count * PIECE_LINES)
            lines.append(line(orjson.dumps(_request(draw, n, moment))))
        name = segment_name(incarnation, at + 1)
        yield f"{SPOOLS_PATH}/{incarnation}/{name}?offset=0", b"".join(lines)


def _request(draw: random.Random, n: int, moment: float) -> dict[str, object]:
    """Returns a request of one of 40 consumers in 8 teams: three of five by the house, one of twenty failed over."""
    team, prompt, completion = draw.randrange(8), draw.randrange(8000), draw.randrange(900)
    told: dict[str, object] = {
        "kind": "request",
        "n": n,
        "time": round(moment, 3),
        "seconds": 1.25,
        "request": secrets.token_hex(16),
    }
    told |= {"consumer": f"c-{team}-{draw.randrange(5)}", "team": f"team-{team}", "route": f"r{draw.randrange(3)}"}
    told |= {"api": "chat", "model": "assistant", "status": 200, "outcome": "ok"}
    used = {"prompt": prompt, "completion": completion}
    house = {
        "backend": "house",
        "zone": "house",
        "model": "qwen",
        "sizeClass": "small",
        "outcome": "ok",
        **used,
        "price": "house",
    }
    cost = (Decimal(prompt) * 5 / 2 + completion * 10) / 1_000_000
    cloud = {
        "backend": "frontier",
        "tier": 1,
        "zone": "us",
        "model": "gpt",
        "sizeClass": "large",
        "outcome": "ok",
        **used,
    }
    cloud |= {"cost": f"{cost:f}", "currency": "USD", "price": "policy"}
    if draw.random() < 0.6:
        return {**told, "attempts": [house], "avoided": f"{cost:f}", "avoidedCurrency": "USD"}
    lost = {**house, "outcome": "unavailable", "prompt": 0, "completion": 0}
    return {**told, "attempts": [lost, cloud] if draw.random() < 0.125 else [cloud]}


def _enlarged(small: Path, large: Path, records: int) -> None:
    """Copies a database and what is in it, one day after the other, until there are so many records."""
    large.write_bytes(small.read_bytes())
    database = Database(str(large))
    database.open()
    columns, sums = ("spool", "received", "request", "body"), ", ".join(MEASURES)
    with database.writing() as connection:
        have = connection.exec_driver_sql("SELECT COUNT(*) FROM records").scalar_one()
    for day in range(1, -(-records // have)):
        with database.writing() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {RECORDS.name} (number, time, {', '.join(columns)}) SELECT number + {day} * 10000000, "
                f"time + {day * DAY}, spool, received, printf('%x', random()), body FROM {RECORDS.name} WHERE id <= {have}"
            )
            for table, slots in (("hourly", 24), ("daily", 1)):
                connection.exec_driver_sql(
                    f"INSERT INTO {table} SELECT slot + {day * slots}, series, {sums} FROM {table} "
                    f"WHERE slot < {(BEGIN + DAY) // (DAY // slots)}"
                )
    database.close()


def _questions(folder: Path, large: Path, core: int) -> dict[str, object]:
    """Asks each question three times, the first one with a cold cache of SQLite's. Returns the slowest, in seconds."""
    ledger = _Ledger(folder, large, core)
    headers = {"authorization": f"Bearer {token(KEY, READER)}"}
    span = {"from": str(BEGIN), "to": str(BEGIN + 400 * DAY)}
    found: dict[str, object] = {}
    with httpx.Client(base_url=ledger.url, headers=headers, timeout=600) as client:
        for name, asked in QUESTIONS.items():
            times = []
            for _ in range(3):
                began = time.perf_counter()
                answer = client.get(USAGE_PATH, params={**span, **asked}).raise_for_status().json()
                times.append(time.perf_counter() - began)
            found[name] = round(max(times), 3)
            found["records"] = answer["total"]["requests"] if name == "the total" else found["records"]
    found["gigabytes"] = round(large.stat().st_size / 1e9, 1)
    ledger.stop()
    return found
