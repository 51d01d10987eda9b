"""A ledger as a process of its own, which tests send to, ask, and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from genset.contracts.ledger import READER, SPOOLS_PATH, USAGE_PATH, token
from genset.ledger.decoding import SegmentName
from genset.ledger.questions import query
from genset.ledger.report import UsageQuestion, UsageReport
from tests.support.ledger import BEGIN

KEY = b"a key that only tests know"
EVER = UsageQuestion(0, BEGIN + 10**9 // 3600 * 3600)
START_SECONDS = 120  # a database of a long day is read once, on a machine that others use


class LedgerProcess:
    """A ledger with its database at `url`, in a folder that has its key and its log."""

    def __init__(self, folder: Path, url: str, *flags: str) -> None:
        self._folder = folder
        self._url = url
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client()  # kept, because making one takes longer than an answer
        self.port = 0
        self.key_file = folder / "key"
        self.key_file.write_bytes(KEY + b"\n")
        self.log = folder / "ledger.log"

    def start(self) -> None:
        before = self.log.stat().st_size if self.log.exists() else 0
        command = [
            sys.executable,
            "-m",
            "genset",
            "ledger",
            "serve",
            "--database",
            self._url,
            "--key-file",
            str(self.key_file),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", f"127.0.0.1:{self.port}", *self._flags],
                stderr=log,
                stdout=log,
                env={**os.environ},
            )
        deadline = time.monotonic() + START_SECONDS
        while b"Listened on" not in (said := self.log.read_bytes()[before:]):
            assert self._process.poll() is None and time.monotonic() < deadline, said.decode()
            time.sleep(0.02)
        self.port = int(said.split(b"Listened on 127.0.0.1:")[1].split()[0])

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, file: str, offset: int, body: bytes, namespace: str = "law", **more: Any) -> httpx.Response:
        path = f"{self.url}{SPOOLS_PATH}/{SegmentName.read(file).incarnation}/{file}?offset={offset}"
        headers = {"authorization": f"Bearer {token(KEY, namespace)}"}
        return self._client.post(path, content=body, headers=headers, timeout=30, **more)

    def send(self, file: str, content: bytes, step: int = 0) -> int:
        """Sends a segment as routers do, in pieces that end wherever they end; returns what the ledger has of it."""
        have, size = 0, step or len(content)
        while have < len(content):
            answer = self.post(file, have, content[have : have + size])
            if answer.status_code not in (200, 409):
                raise AssertionError(f"{answer.status_code} {answer.text}")
            before, have = have, answer.json()["have"]
            size = 2 * size if have == before else step or len(content)  # no whole line was in it
        return have

    def read(self, path: str, **params: str) -> httpx.Response:
        """Asks as a reader does."""
        headers = {"authorization": f"Bearer {token(KEY, READER)}"}
        return self._client.get(f"{self.url}{path}", params=params, headers=headers, timeout=60)

    def usage(self, question: UsageQuestion = EVER) -> UsageReport:
        answer = self.read(USAGE_PATH, **query(question))
        assert answer.status_code == 200, answer.text
        return UsageReport.read(question, answer.json())
