"""A PostgreSQL of its own for tests: Debian's, in a folder that goes, run by a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER = "nobody"  # PostgreSQL refuses root, and users whom the system does not know
START_SECONDS = 30


def binaries() -> Path | None:
    """Returns the folder of the newest PostgreSQL of this machine; None if it has none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    known = shutil.which("initdb")
    return Path(known).resolve().parent if known else None


class Postgres:
    """A server that is started, killed and started again. `url` is that of its first database."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder / "data"
        self._programs = programs
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        self._folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for one in (folder, self._folder):
                os.chown(one, user.pw_uid, user.pw_gid)
        make = [programs / "initdb", "-D", self._folder, "-U", "ledger", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*make, "--locale=C"], check=True, capture_output=True, cwd="/", **self._as)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://ledger@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        command = [
            self._programs / "postgres",
            "-D",
            self._folder,
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-k",
            self._folder,
        ]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._as)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            assert time.monotonic() < deadline, (self._folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def stop(self, *, at_once: bool = False) -> None:
        """Ends it; `at_once`: as after a loss of power (SIGQUIT ends all of its processes, which then recover)."""
        if self._process is not None:
            self._process.send_signal(3 if at_once else 2)
            self._process.wait(30)
            self._process = None

    def make(self, database: str) -> str:
        """Makes an empty database and returns its URL."""
        command = [self._programs / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "ledger", database]
        subprocess.run(command, check=True, capture_output=True)
        return self.url(database)


@contextmanager
def running(folder: Path, programs: Path) -> Iterator[Postgres]:
    server = Postgres(folder, programs)
    server.start()
    try:
        yield server
    finally:
        server.stop()
