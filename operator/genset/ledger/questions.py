"""Questions are read from the query of a URL, and written to it by whoever asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from genset.contracts.ledger import DIMENSIONS, MOST_WINDOWS
from genset.ledger.facts import HOUR, MOST_SECONDS, Booking
from genset.ledger.report import UsageQuestion


class BadQuestion(ValueError):
    """This cannot be asked. The message says why."""


def question(query: Mapping[str, str]) -> UsageQuestion:
    """Reads a question: from and to in seconds since 1970, by, timeZone, and values of dimensions. Raises BadQuestion."""
    known = {"from", "to", "by", "timeZone", *DIMENSIONS}
    unknown = [name for name in query if name not in known]
    if unknown:
        raise BadQuestion(f"{unknown[0]!r} is nothing that can be asked; take some of {', '.join(sorted(known))}")
    begin, end = _seconds(query, "from"), _seconds(query, "to")
    by = tuple(filter(None, query.get("by", "").split(",")))
    only = {word: query[word] for word in DIMENSIONS if word in query}
    found = UsageQuestion(
        begin // HOUR * HOUR, -(-end // HOUR) * HOUR, by, only, time_zone(query.get("timeZone", "UTC"))
    )
    if problems := found.problems():
        raise BadQuestion("; ".join(problems))
    return found


def windows(policy: str, asked: Sequence[str]) -> list[Booking]:
    """Reads of which windows of a policy's budgets it is asked what was spent: BUDGET.CURRENCY.BEGIN each. Raises BadQuestion."""
    if not policy or len(asked) > MOST_WINDOWS:
        raise BadQuestion(f"a policy is asked about, NAMESPACE/NAME, and {MOST_WINDOWS} windows at most")
    found = []
    for one in asked:
        name, _, rest = one.partition(".")
        currency, _, begin = rest.partition(".")
        if not name or not currency or not begin.isdecimal() or len(begin) > 12 or int(begin) > MOST_SECONDS:
            raise BadQuestion(f"{one[:80]!r} is no window; write BUDGET.CURRENCY.SECONDS")
        found.append(Booking(policy, name, currency, int(begin)))
    return found


def query(asked: UsageQuestion) -> dict[str, str]:
    """Writes a question."""
    zone = {} if asked.time_zone is UTC else {"timeZone": str(asked.time_zone)}
    return {"from": str(asked.begin), "to": str(asked.end), "by": ",".join(asked.by), **zone, **asked.only}


def whole_hour(moment: float) -> int:
    """Returns the next whole hour. Begin and end are rounded alike, so that one span begins where another one ended.

    Sums are kept by the hour: in a time zone that is half an hour off, an hour belongs to the day in which it begins.
    """
    return -int(-moment // HOUR) * HOUR


def time_zone(name: str) -> tzinfo:
    """Returns the zone of a name. Raises BadQuestion."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as problem:  # zoneinfo's own error is a KeyError
        raise BadQuestion(f"{name!r} is no time zone; write e.g. Europe/Berlin") from problem


def _seconds(query: Mapping[str, str], name: str) -> int:
    given = query.get(name, "")
    if not given.isdecimal() or len(given) > 12:
        raise BadQuestion(f"{name} {given[:40]!r} is no time; write seconds since 1970")
    return int(given)
