"""The egress keeper opens the spool when a policy first wants the record, and sees to it that it reaches the disk."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from genset.contracts.router_config import RouterConfig
from genset.contracts.usage import EGRESS_PATH, OPENED, VERSION, line
from genset.router.http.egress import EgressBook
from genset.router.http.spool import Spool

SYNC_SECONDS: Final = 1.0  # between two syncs: what a node that dies takes with it
_NO_FOLDER: Final = "this router was started without a folder for egress records (--spool)"
_PATH: Final = EGRESS_PATH.encode()

log = logging.getLogger(__name__)


class EgressKeeper:
    """The keeper has one spool for the life of the process. `folder` None: there is no place for one."""

    def __init__(
        self, folder: Path | None, environment: Mapping[str, str], wall: Callable[[], float], now: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._wall = wall
        self._now = now
        self.spool: Spool | None = None
        self.egress: EgressBook | None = None  # in force; None: the policy wants no record

    def take(self, config: RouterConfig) -> EgressBook | None:
        """Returns the record that a configuration wants. What was counted of the one before goes on."""
        wanted = config.egress
        if wanted is None:
            self.egress = None
            return None
        if self.spool is None:
            self.spool = self._opened(config)
        if self.egress is None:
            self.egress = EgressBook(self.spool, self._wall, self._now)
        self.egress.require(wanted.required)
        return self.egress

    def _opened(self, config: RouterConfig) -> Spool:
        incarnation = secrets.token_hex(6)
        opening = {
            "kind": OPENED,
            "version": VERSION,
            "incarnation": incarnation,
            "policy": f"{config.policy.namespace}/{config.policy.name}",
            "router": self._environment.get("HOSTNAME", ""),
            "time": round(self._wall(), 3),
        }
        spool = Spool(self._folder or Path(), incarnation, line(orjson.dumps(opening)))
        if self._folder is None:
            spool.fail(_NO_FOLDER)
        else:
            spool.look(self._now())
        return spool

    async def keep(self) -> None:
        """Brings lines to the disk until cancelled, and looks whether a full disk has room again."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            spool = self.spool
            if spool is not None and self._folder is not None:
                spool.look(self._now())
                await asyncio.to_thread(spool.sync)

    def page(self, path: bytes) -> bytes | None:
        """Returns the names of the segments, or one of them; None if there is no such page."""
        if path == _PATH:
            return orjson.dumps(self.view())
        return self.spool.content(path[len(_PATH) + 1 :].decode("latin-1")) if self.spool is not None else None

    def view(self) -> dict[str, Any]:
        """Returns what is shown of the spool: its segments, why it fails, how many it lost."""
        spool, egress = self.spool, self.egress
        return {
            "segments": spool.names() if spool is not None else [],
            "failing": spool.failing if spool is not None else "",
            "lostSegments": spool.lost if spool is not None else 0,
            "unkept": egress.unkept if egress is not None else 0,
        }

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()
