"""The ledger sender brings segments of spools to the ledger, in the background: no request ever waits for it.

It reads from the router's own disk what this process has written there, or the one before it in the pod, and sends on from
where the ledger says it has them. While the ledger is away, segments stay as long as there is room for them. Segments of usage go
once the ledger has them whole; those of what left the house stay for `genset egress`, and are the first to make way.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from genset.addresses import server_of
from genset.contracts import drill, usage, usage_records
from genset.contracts.ledger import BUDGETS_PATH, ERROR, HAVE, SPOOLS_PATH, WINDOWS
from genset.contracts.reading import count, items, parsed, text
from genset.contracts.router_admin import OutageReport
from genset.contracts.router_config import LedgerConfig
from genset.router.backends.credentials import Credentials
from genset.router.backends.outage import Scope
from genset.router.budgets.budget_book import BudgetBook, Key
from genset.router.http.spool import SEGMENT_BYTES, Spool
from genset.times import rfc3339
from genset.tls import lenient

SEND_SECONDS: Final = 1.0  # between two looks for new lines
BUDGET_SECONDS: Final = 0.5  # the same, if there are budgets: see docs/budgets.md for what follows from it
LONGEST_PAUSE_SECONDS: Final = 30.0  # between two trials of a ledger that is away
LONGEST_BUDGET_PAUSE_SECONDS: Final = 4.0  # the same, if there are budgets
AWAY_SECONDS: Final = 30.0  # without an answer that is good, after which it is told as an outage
STEP_SECONDS: Final = 5.0  # for a connection, and for an answer
PIECE_BYTES: Final = 512 * 1024  # of one request
PIECES: Final = 64  # of one round, before the configuration is looked at again
FINISH_SECONDS: Final = 8.0  # for what is left when the process ends
_ANSWER_BYTES: Final = 64 * 1024
_TOTALS_BYTES: Final = 16 * 1024 * 1024
_TAKEN: Final = (200, 409)

log = logging.getLogger(__name__)


class SendFailed(Exception):
    """The ledger has not taken a piece. The message says why."""


class LedgerSender:
    """A sender belongs to one folder of spools. `spools` gives those that this process writes to.

    With each round it asks what was spent of the budgets.
    """

    def __init__(
        self, folder: Path | None, spools: Callable[[], list[Spool]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._spools = spools
        self._ledger: _Ledger | None = None
        self._budgets: BudgetBook | None = None
        self._policy = ""  # NAMESPACE/NAME
        self._have: dict[str, int] = {}  # by segment, as the ledger has told
        self._whole: set[str] = set()  # segments that the ledger has, and that are still here
        self._refused: set[str] = set()  # that it does not take, whatever we do
        self._lock = threading.Lock()  # a round that was under way when the process ends, and the last one
        self._clock = clock
        self._failed_at: float | None = None  # when it began to fail
        self.failing = ""
        self.sent = 0  # bytes since the start
        self.waiting = 0  # segments of which something is not sent, at the last look

    def take(self, config: LedgerConfig | None, credentials: Credentials) -> None:
        """Sends to this ledger from now on; None: to none."""
        if config is None:
            self._ledger, self.waiting = None, 0
            self._fails("")
            return
        token = credentials.optional(config.token_file).strip().decode("ascii", "ignore")
        following = _Ledger(config.url, token, credentials.site_ca)
        if self._ledger is None or self._ledger.key != following.key:
            self._ledger = following
            self._have.clear()
            self._whole.clear()
            self._refused.clear()

    def ask(self, budgets: BudgetBook | None, policy: str) -> None:
        """Asks what was spent of these budgets from now on. `policy`: NAMESPACE/NAME."""
        self._budgets, self._policy = budgets, policy

    async def send_forever(self) -> None:
        """Sends until cancelled."""
        pause = SEND_SECONDS
        while True:
            await asyncio.sleep(pause)
            sent = await self.round()
            least, most = SEND_SECONDS, LONGEST_PAUSE_SECONDS
            if self._budgets is not None:
                least, most = BUDGET_SECONDS, LONGEST_BUDGET_PAUSE_SECONDS
            pause = least if sent else min(2 * pause, most)

    async def round(self) -> bool:
        """Sends what is there, and hears what was spent. Returns whether the ledger takes it."""
        book = self._budgets
        sent, windows = await asyncio.to_thread(self._exchange, book.asked() if book is not None else [])
        if book is not None and windows is not None:
            book.hear_all(windows)
            book.heard_ledger()
        return sent

    def _exchange(self, asked: list[Key]) -> tuple[bool, list[Any] | None]:
        """Blocks. Returns whether the ledger takes records, and what it tells of budgets; None: nothing was heard."""
        sent, ledger = self.send(), self._ledger
        if not asked or ledger is None:
            return sent, None
        try:
            with self._lock, ledger:
                return sent, ledger.spent(self._policy, asked)
        except SendFailed as problem:
            if sent:
                log.warning("Hears nothing of budgets from the ledger at %s: %s", ledger.url, problem)
            return False, None

    async def finish(self) -> None:
        """Sends what is left, as far as that takes no longer than a pod has to end."""
        if self._ledger is None:
            return
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await asyncio.to_thread(self.send)
        except TimeoutError:
            log.warning("Left %d segments of records behind: the ledger took too long", self.waiting)

    def send(self) -> bool:
        """Sends what is there; blocks. Returns whether the ledger takes it."""
        ledger, folder = self._ledger, self._folder
        if ledger is None or folder is None:
            return True
        try:
            with self._lock, ledger:
                for _ in range(PIECES):
                    if not self._step(ledger, folder):
                        break
        except SendFailed as problem:
            if str(problem) != self.failing:
                log.warning("Keeps records here, the ledger at %s takes none: %s", ledger.url, problem)
            self._fails(str(problem))
            return False
        except Exception as problem:
            log.exception("Failed to send records to the ledger at %s", ledger.url)
            self._fails(str(problem) or type(problem).__name__)
            return False
        if self.failing:
            log.info("The ledger at %s takes records again", ledger.url)
        self._fails("")
        return True

    def _fails(self, why: str) -> None:
        """Notes why the ledger takes nothing; "" if it takes what there is."""
        if not why:
            self._failed_at = None
        elif self._failed_at is None:
            self._failed_at = self._clock()
        self.failing = why

    def outage(self, wall: float) -> OutageReport | None:
        """Returns the outage that this is, if it lasts: a new pod of the ledger makes none. `wall`: the time of day."""
        since = self._failed_at
        if since is None or (lasts := self._clock() - since) < AWAY_SECONDS:
            return None
        return OutageReport(Scope.LEDGER, rfc3339(wall - lasts), self.failing)

    def view(self) -> dict[str, Any]:
        """Returns what is shown of it."""
        return {"sentBytes": self.sent, "waitingSegments": self.waiting, "failing": self.failing}

    def _step(self, ledger: _Ledger, folder: Path) -> bool:
        """Sends the next piece. Returns whether there was one. Raises SendFailed."""
        found = sorted(
            _segments(folder), key=lambda path: (not path.name.startswith(usage.PREFIX), _age(path), path.name)
        )
        written = dict(spool.current for spool in self._spools())
        names = {path.name for path in found}
        self._whole &= names
        self._have = {name: have for name, have in self._have.items() if name in names}
        todo = [path for path in found if path.name not in self._whole and path.name not in self._refused]
        self.waiting = sum(written.get(p.name, SEGMENT_BYTES) > self._have.get(p.name, 0) for p in todo)
        for path in todo:
            have = self._have.get(path.name, 0)
            piece = _piece(path, have, written.get(path.name))
            if piece:
                self._post(ledger, path.name, have, piece)
                return True
            if path.name not in written:  # nothing will be added to it
                self._done(path)
        return False

    def _post(self, ledger: _Ledger, name: str, have: int, piece: bytes) -> None:
        status, answer = ledger.post(name, have, piece)
        told = parsed(answer)
        if status in _TAKEN and HAVE in told:
            self._have[name] = count(told[HAVE])
            self.sent += max(0, self._have[name] - have)
        elif status == 400:  # it would say so for ever
            log.error("The ledger refuses segment %s: %s", name, text(told.get(ERROR)) or status)
            self._refused.add(name)
        else:
            raise SendFailed(text(told.get(ERROR)) or f"it answered {status}")

    def _done(self, path: Path) -> None:
        """The ledger has a whole segment."""
        self._whole.add(path.name)
        if path.name.startswith(usage_records.PREFIX):
            path.unlink(missing_ok=True)
            return
        for spool in self._spools():
            spool.acknowledge(path.name)


class _Ledger:
    """A ledger is where segments go. Within `with` there is one connection for all of them."""

    def __init__(self, url: str, token: str, site_ca: bytes | None) -> None:
        self.url = url
        self.key = (url, token, site_ca)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "text/plain", "user-agent": "genset"}
        self._context: ssl.SSLContext | None = None
        if urlsplit(url).scheme == "https":
            self._context = lenient(ssl.create_default_context())
            if site_ca:
                self._context.load_verify_locations(cadata=site_ca.decode("ascii"))
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> _Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, name: str, offset: int, piece: bytes) -> tuple[int, bytes]:
        """Sends a piece. Returns status and answer. Raises SendFailed."""
        return self._ask("POST", f"{SPOOLS_PATH}/{name.split('-')[1]}/{name}?offset={offset}", piece, _ANSWER_BYTES)

    def spent(self, policy: str, asked: list[Key]) -> list[Any]:
        """Returns what the ledger knows was spent in these windows. Raises SendFailed."""
        wanted = [("window", f"{name}.{currency}.{begin}") for name, currency, begin in asked]
        query = urlencode([("policy", policy), *wanted])
        status, answer = self._ask("GET", f"{BUDGETS_PATH}?{query}", None, _TOTALS_BYTES)
        told = parsed(answer)
        if status != 200:
            raise SendFailed(text(told.get(ERROR)) or f"it answered {status}")
        return list(items(told.get(WINDOWS)))

    def _ask(self, method: str, path: str, body: bytes | None, most: int) -> tuple[int, bytes]:
        try:
            if self._connection is None:
                self._connection = self._open()
            before = urlsplit(self.url).path.rstrip("/")
            self._connection.request(method, before + path, body=body, headers=self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read(most)
        except (OSError, http.client.HTTPException) as problem:
            raise SendFailed(str(problem) or type(problem).__name__) from problem

    def _open(self) -> http.client.HTTPConnection:
        server = server_of(self.url)
        if self._context is None:
            return http.client.HTTPConnection(server.host, server.port, timeout=STEP_SECONDS)
        return http.client.HTTPSConnection(server.host, server.port, timeout=STEP_SECONDS, context=self._context)


def _segments(folder: Path) -> Iterator[Path]:
    try:
        for path in folder.iterdir():
            if path.name.startswith((usage.PREFIX, usage_records.PREFIX, drill.PREFIX)) and path.suffix == usage.SUFFIX:
                yield path
    except OSError:
        return


def _piece(path: Path, have: int, written: int | None) -> bytes:
    """Returns whole lines from byte `have` on. `written`: bytes that are whole so far; None: all that will ever be."""
    try:
        with path.open("rb") as file:
            file.seek(have)
            most = PIECE_BYTES if written is None else min(PIECE_BYTES, written - have)
            found = file.read(most) if most > 0 else b""
    except OSError:  # it made way
        return b""
    return found[: found.rfind(b"\n") + 1]


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
