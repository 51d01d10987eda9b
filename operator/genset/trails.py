"""A trail is what became of one request: who asked, who was tried and why not, who answered, how long it took. Pure.

It is read from the access logs of routers, whose fields docs/observability.md lists. Reading is tolerant: routers of another
release may tell less or more, and a line that is none of theirs is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from genset.columns import aligned

_HEADS: Final = (
    "TIME",
    "ID",
    "CONSUMER",
    "MODEL",
    "STATUS",
    "BY",
    "FIRST",
    "IN ALL",
    "TOKENS",
    "COST",
    "WHY NOT THE FIRST",
)
_NOTHING: Final = "-"


@dataclass(frozen=True)
class Filters:
    """Filters say which lines are looked for. An empty field asks for nothing; `failed`: what ended in an error."""

    id: str = ""
    consumer: str = ""
    route: str = ""
    failed: bool = False

    def takes(self, line: Mapping[str, Any]) -> bool:
        return (
            (not self.id or line.get("id") == self.id)
            and (not self.consumer or line.get("consumer") == self.consumer)
            and (not self.route or line.get("route") == self.route)
            and (
                not self.failed
                or bool(line.get("error"))
                or not isinstance(line.get("status"), int)
                or line["status"] >= 400
            )
        )


def read(text: bytes, wanted: Filters) -> dict[str, Any] | None:
    """Returns a line of an access log if it is wanted, as it stands there."""
    if (
        wanted.id and json.dumps(wanted.id, ensure_ascii=False).encode() not in text
    ):  # most lines: nobody needs to parse them
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    is_one = isinstance(line, dict) and "id" in line and isinstance(line.get("attempts"), list)
    return line if is_one and wanted.takes(line) else None


def ended_at(line: Mapping[str, Any]) -> float:
    """Returns when a request ended, in seconds since 1970; 0 if the line does not tell."""
    time = line.get("time")
    return float(time) if isinstance(time, int | float) else 0.0


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns a line for each request."""
    return "\n".join(aligned([_HEADS, *map(_cells, lines)]))


def trail(line: Mapping[str, Any], router: str = "") -> str:
    """Returns all that is known of one request, for people. `router`: who wrote the line."""
    who = str(line.get("consumer") or "nobody was asked who asks")
    team = f" of team {line['team']}" if line.get("team") else ""
    rows = [
        ("request", f"{line.get('id')}  {line.get('request')}"),
        ("ended", _when(line)),
        ("asked by", f"{who}{team}, from {line.get('client') or 'an unknown address'}"),
        ("model", f"{line.get('model') or _NOTHING}, route {line.get('route') or 'none'}"),
        *_steps(line),
        ("answer", _answer(line)),
        ("tokens", f"{_number(line, 'inputTokens')} in, {_number(line, 'outputTokens')} out"),
        ("cost", str(line.get("cost") or "nothing that is paid by the request")),
        ("times", _times(line)),
        *((name, str(line[field])) for name, field in _SAID if line.get(field)),
        *([("router", router)] if router else []),
    ]
    return "\n".join(aligned(rows))


def short(line: Mapping[str, Any]) -> str:
    """Returns a request's attempts and its cost in one line."""
    attempts = ", ".join(f"{value}" for _, value in _steps(line))
    return f"asked: {attempts}; cost {line.get('cost') or 'nothing by the request'}"


_SAID: Final = (
    ("why not the first", "reason"),
    ("sensitive", "sensitive"),
    ("detail", "detail"),
    ("drill", "drill"),
    ("trace", "traceId"),
)


def _steps(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what each attempt came to: `backend:outcome:12ms`, in the order of time."""
    steps = [str(step).rsplit(":", 2) for step in line.get("attempts") or ()]
    for number, step in enumerate(steps, start=1):
        backend, outcome, took = step if len(step) == 3 else (":".join(step), "", "")
        yield f"attempt {number}", f"{backend}: {outcome} after {took}" if outcome else backend
    if not steps:
        yield "attempts", "nobody was asked"


def _answer(line: Mapping[str, Any]) -> str:
    kind = "a stream" if line.get("stream") else "in one piece"
    by = f", by {line['backend']} (tier {_tier(line)})" if line.get("backend") else ""
    error = f", {line['error']}" if line.get("error") else ""
    again = line.get("continuations")
    continued = (
        f", continued {again} time{'s' if again != 1 else ''} after it had broken"
        if again and isinstance(again, int)
        else ""
    )
    return f"{line.get('status')}{error}, {kind}{by}{continued}"


def _times(line: Mapping[str, Any]) -> str:
    parts = [f"first token after {_seconds(line, 'firstTokenSeconds')}", f"in all {_seconds(line, 'seconds')}"]
    for field, said in (("queueSeconds", "waited for a place"), ("waitedSeconds", "waited for a backend")):
        if _seconds(line, field) not in (_NOTHING, "0.00 s"):
            parts.append(f"{said} {_seconds(line, field)}")
    return ", ".join(parts)


def _cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _when(line),
        str(line.get("id") or _NOTHING),
        str(line.get("consumer") or _NOTHING),
        str(line.get("model") or _NOTHING),
        f"{line.get('status')} {line.get('error') or ''}".strip(),
        f"{line['backend']} ({_tier(line)})" if line.get("backend") else _NOTHING,
        _seconds(line, "firstTokenSeconds"),
        _seconds(line, "seconds"),
        f"{_number(line, 'inputTokens')}+{_number(line, 'outputTokens')}",
        str(line.get("cost") or _NOTHING),
        str(line.get("reason") or _NOTHING),
    )


def _when(line: Mapping[str, Any]) -> str:
    try:
        return datetime.fromtimestamp(ended_at(line), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return _NOTHING


def _tier(line: Mapping[str, Any]) -> str:
    """Tiers are counted from 1 for people, from 0 in the log."""
    tier = line.get("tier")
    return str(tier + 1) if isinstance(tier, int) else _NOTHING


def _seconds(line: Mapping[str, Any], field: str) -> str:
    value = line.get(field)
    return f"{value:.2f} s" if isinstance(value, int | float) and value else _NOTHING


def _number(line: Mapping[str, Any], field: str) -> str:
    value = line.get(field)
    return str(value) if isinstance(value, int) else _NOTHING
