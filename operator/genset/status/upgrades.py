"""A pending upgrade is told calmly: nothing is wrong, what runs serves on, and there is a way to have it now."""

from __future__ import annotations

import genset
from genset import names
from genset.api.modeldeployment import Reason
from genset.status.conditions import Verdict
from genset.status.observed import Upgrade


def verdict(upgrade: Upgrade | None, kind: str, name: str, field: str) -> Verdict | None:
    """Returns what the condition says; None if no upgrade waits. `field`: the resource's own that decides when."""
    if upgrade is None:
        return None
    what = f"{_whose(upgrade)} ({', '.join(upgrade.fields)})"
    if upgrade.turn:
        words = f"{what}: {kind} {upgrade.turn} takes the upgrade first, and this one follows when that is Ready"
        return Verdict("True", Reason.WAITS_ITS_TURN, words)
    command = f"kubectl annotate {kind.lower()} {name} {names.ANNOTATION_ROLL}=$(date +%s) --overwrite"
    words = (
        f"{what} until no request has come for {upgrade.idle_seconds} s; for the upgrade at once set {field} to Now, or run: "
        f"{command}"
    )
    return Verdict("True", Reason.IN_USE, words)


def _whose(upgrade: Upgrade) -> str:
    new = genset.__version__
    if upgrade.release == new:
        return "The pods keep what the operator's settings were when they were made"
    made_by = f"genset {upgrade.release}" if upgrade.release else "an earlier release of genset"
    return f"The pods were made by {made_by} and stay so under {new}"
