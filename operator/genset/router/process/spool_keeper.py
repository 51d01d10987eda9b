"""A spool keeper opens a spool when a configuration first wants one, and sees to it that it reaches the disk."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, final

from genset.contracts.router_config import PolicyRef
from genset.contracts.usage import opening
from genset.router.http.spool import Spool

SYNC_SECONDS: Final = 1.0  # between two syncs: what a node that dies takes with it


@final
class SpoolKeeper:
    """The keeper has one spool for the life of the process, of segments KIND-. `folder` None: there is no place for one."""

    def __init__(
        self,
        kind: str,
        folder: Path | None,
        environment: Mapping[str, str],
        wall: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._kind = kind
        self._folder = folder
        self._environment = environment
        self.wall = wall
        self.now = now
        self.incarnation = secrets.token_hex(6)  # names this life of this router
        self.spool: Spool | None = None

    def opened(self, policy: PolicyRef) -> Spool:
        """Returns the spool, which is begun with the first call."""
        if self.spool is None:
            self.spool = self._begun(f"{policy.namespace}/{policy.name}")
        return self.spool

    def _begun(self, policy: str) -> Spool:
        first = opening(self.incarnation, policy, self._environment.get("HOSTNAME", ""), round(self.wall(), 3))
        spool = Spool(self._folder or Path(), self.incarnation, first, prefix=f"{self._kind}-")
        if self._folder is None:
            spool.fail(f"this router was started without a folder for {self._kind} records (--spool)")
        else:
            spool.look(self.now())
        return spool

    async def keep(self) -> None:
        """Brings lines to the disk until cancelled, and looks whether a full disk has room again."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            spool = self.spool
            if spool is not None and self._folder is not None:
                spool.look(self.now())
                await asyncio.to_thread(spool.sync)

    def view(self) -> dict[str, Any]:
        """Returns what is shown of the spool: its segments, why it fails, how many it lost."""
        spool = self.spool
        return {
            "segments": spool.names() if spool is not None else [],
            "failing": spool.failing if spool is not None else "",
            "lostSegments": spool.lost if spool is not None else 0,
        }

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()
