"""Ledgers on SQLite, and on a PostgreSQL if this machine can have one."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genset.ledger.database import Database
from tests.support.ledger_process import LedgerProcess
from tests.support.postgres import Postgres, binaries, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = binaries()
    if programs is None:
        pytest.skip("there is no PostgreSQL here; Debian: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), programs) as server:  # another user comes in
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.make(f"ledger_{secrets.token_hex(4)}")


@pytest.fixture
def ledger(tmp_path: Path, url: str) -> Iterator[LedgerProcess]:
    process = LedgerProcess(tmp_path, url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    found = Database(url)
    found.open()
    yield found
    found.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 10 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=10m", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
