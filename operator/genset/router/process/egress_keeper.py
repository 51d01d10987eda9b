"""The egress keeper has the egress record that a policy wants, and shows its spool on the admin port."""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.contracts.router_config import RouterConfig
from genset.contracts.usage import EGRESS_PATH
from genset.router.http.egress import EgressBook
from genset.router.process.spool_keeper import SpoolKeeper

_PATH: Final = EGRESS_PATH.encode()


class EgressKeeper:
    """The keeper writes to the spool that `kept` opens."""

    def __init__(self, kept: SpoolKeeper) -> None:
        self.kept = kept
        self.egress: EgressBook | None = None  # in force; None: the policy wants no record

    def take(self, config: RouterConfig) -> EgressBook | None:
        """Returns the record that a configuration wants. What was counted of the one before goes on."""
        wanted = config.egress
        if wanted is None:
            self.egress = None
            return None
        if self.egress is None:
            self.egress = EgressBook(self.kept.opened(config.policy), self.kept.wall, self.kept.now)
        self.egress.require(wanted.required)
        return self.egress

    def page(self, path: bytes) -> bytes | None:
        """Returns the names of the segments, or one of them; None if there is no such page."""
        if path == _PATH:
            return orjson.dumps(self.view())
        spool = self.kept.spool
        return spool.content(path[len(_PATH) + 1 :].decode("latin-1")) if spool is not None else None

    def view(self) -> dict[str, Any]:
        """Returns what is shown of the spool, and of records that could not be kept."""
        return {**self.kept.view(), "unkept": self.egress.unkept if self.egress is not None else 0}
