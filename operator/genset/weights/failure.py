"""A download ends badly in one way: with an exception that has the condition reason that users see and what they can do
about it."""

from __future__ import annotations

from genset.api.modeldeployment import Reason
from genset.contracts.puller import ExitCode


class WeightsFailure(Exception):
    """A failure means that the weights can't be had. `permanent`: trying again without a change is pointless."""

    def __init__(self, reason: Reason, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.permanent = permanent

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.PERSON if self.permanent else ExitCode.RETRY


def unreachable(message: str) -> WeightsFailure:
    return WeightsFailure(Reason.SOURCE_UNREACHABLE, message, permanent=False)


def size_text(count: float) -> str:
    """Writes bytes for people: 1.2 GB (10^9, as hubs and disks count)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
