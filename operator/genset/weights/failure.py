"""How a download ends badly: one exception with the condition reason that users see and what they can do about it."""

from __future__ import annotations

import json

from genset.api.modeldeployment import Reason

EXIT_RETRY = 1  # a later try may succeed: network, server, disk pressure
EXIT_PERSON = 3  # the same try would fail again: a person must change something
_LIMIT = 4_096  # bytes of a termination message that the kubelet keeps


class WeightsFailure(Exception):
    """The weights can't be had. `permanent` means that trying again without a change is pointless."""

    def __init__(self, reason: Reason, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.permanent = permanent

    @property
    def exit_code(self) -> int:
        return EXIT_PERSON if self.permanent else EXIT_RETRY


def termination_message(reason: str, message: str, **facts: object) -> str:
    """JSON for the termination log, short enough to survive the kubelet's limit as a whole."""
    while True:
        text = json.dumps({"reason": reason, "message": message, **facts}, ensure_ascii=False)
        if len(text.encode()) <= _LIMIT:
            return text
        message = message[: len(message) * 3 // 4]


def unreachable(message: str) -> WeightsFailure:
    return WeightsFailure(Reason.SOURCE_UNREACHABLE, message, permanent=False)


def size_text(count: float) -> str:
    """Bytes for people: 1.2 GB (10^9, as hubs and disks count)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
