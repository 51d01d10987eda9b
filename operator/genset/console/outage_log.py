"""The log of outages keeps which ones policies have told of since the console began to look, the newest of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from genset.console import words

MOST: Final = 500  # that are kept, of all policies


@dataclass(frozen=True)
class SeenOutage:
    """An outage lasts from `begin` to `end`, in seconds since 1970; None: it lasts."""

    namespace: str
    policy: str
    what: str
    begin: float
    end: float | None = None


class OutageLog:
    """The log is told of each change of a policy's status."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, str], SeenOutage] = {}
        self._over: list[SeenOutage] = []

    def heard(self, namespace: str, policy: str, status: Mapping[str, Any], now: float) -> None:
        """Takes what a policy has down now."""
        down = {_what(one): words.moment(one.get("since")) or now for one in status.get("outages") or ()}
        for what, since in down.items():
            self._open.setdefault((namespace, policy, what), SeenOutage(namespace, policy, what, since))
        for key in [key for key in self._open if key[:2] == (namespace, policy) and key[2] not in down]:
            self._over.append(replace(self._open.pop(key), end=now))
        del self._over[:-MOST]

    def seen(self) -> list[SeenOutage]:
        """Returns those that last, and then those that are over, the newest first."""
        return sorted(self._open.values(), key=lambda one: -one.begin) + self._over[::-1]


def _what(told: Mapping[str, Any]) -> str:
    subject = str(told.get("account") or told.get("backend") or "")
    return f"{' '.join(filter(None, (str(told.get('scope', '')), subject)))}: {told.get('reason', '')}"
