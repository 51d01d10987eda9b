"""The values in docs/limits.md, from the code that they bound. Called by tools/generated.py.

A row of a table there names its settings in its third cell: fields of a RoutePolicy (`routes[].failover.totalSeconds`) or
constants of the router (`wire.downstream.HEAD_SECONDS`). Its second cell is written here. Constants that no row names are
listed at the end of the page with the comment that stands beside them, so that the page names every one.
"""

from __future__ import annotations

import ast
import importlib
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from genset.api.routepolicy import RoutePolicy

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "limits.md"
ROUTER = ROOT / "operator" / "genset" / "router"

#: Numbers that bound nothing: units, sizes of formats, parts of an algorithm.
NO_LIMITS = {
    *("telemetry.tracing.NANOSECONDS", "config.CONFIG_VERSION", "failures.RECORD_BYTES", "table.BYTES_PER_TOKEN"),
    "balance.prompt.BYTES_PER_TOKEN",
    *("frame.UNKNOWN", "frame.OPENING", "frame.TEXT", "frame.FINISH", "frame.COUNTS"),
}
#: Private numbers that bound nothing. Any other private number is a limit, and has its place on the page.
PRIVATE_NO_LIMITS = {
    *(
        "bodies._LONG",
        "spelling._STRIDE",
        "wire.upstream._END_BYTES",
        "upstream_error._MOST_CODE",
        "events._MOST_DIGITS",
    ),
    # Characters
    *(
        f"events.{name}"
        for name in ("_N", "_F", "_NOUGHT", "_QUOTE", "_COMMA", "_CLOSE", "_SPACE", "_NEWLINE", "_RETURN")
    ),
    *(f"{module}.{name}" for module in ("sse", "template") for name in ("_NEWLINE", "_RETURN")),
    *("forward._CLOSE", "forward._NEWLINE", "frame._ZERO", "rebuild._NEWLINE", "sse._CLOSE"),
    *("template._QUOTE", "template._BACKSLASH"),
    *("whole._ZERO", "whole._MOST_DIGIT", "whole._SPACE"),
    # Sizes of formats and of Python's objects, words of libraries
    *("accesslog._OPTIONS", "balance.prefix_affinity._MASK", "codings._GZIP", "codings._ZLIB", "codings._RAW"),
    *("events._FINISH_LENGTH", "forward._LEAST_EVENT", "telemetry.context._VERSION_00_LENGTH"),
    *("bodies._OBJECT", "bodies._ENTRY", "bodies._LIST", "bodies._ITEM"),
    # Parts of an algorithm, whose result they do not change
    *("bodies._SMALL", "bodies._WINDOW", "bodies._ESCAPE", "bodies._SHORT", "bodies._CANDIDATES"),
    *("advice._CLOSE", "balance.prefix_affinity._QUARTERS", "breaker._BUCKETS", "breaker._BUCKET_SECONDS"),
}
NO_LIMITS |= PRIVATE_NO_LIMITS
#: Bounds that are no constants; the page holds their values by hand.
ELSEWHERE = {"Router.most_body_bytes", "outcome.parse_retry_after"}
_ROW = re.compile(r"^\| (?P<what>[^|]*) \| (?P<value>[^|]*) \| (?P<names>[^|]*`[^|]*) \| (?P<effect>[^|]*) \|$")
_NAME = re.compile(r"`([^`]+)`")
_START, _END = "<!-- other limits: written by `make docs` -->", "<!-- end of other limits -->"


def page() -> str:
    """The page with its values as they should be."""
    known = constants()
    lines, named = [], set(NO_LIMITS)
    before, start, rest = PAGE.read_text().partition(_START)
    if not start:
        raise ValueError(f"{PAGE.name}: put {_START} and {_END} where what no table names belongs")
    for line in before.splitlines():
        row = _ROW.match(line)
        if row is None:
            lines.append(line)
            continue
        settings = _NAME.findall(row["names"])
        named.update(settings)
        values = [value_of(name, known) for name in settings]
        value = row["value"] if None in values else ", ".join(str(value) for value in values)
        lines.append(f"| {row['what']} | {value} | {row['names']} | {row['effect']} |")
    others = ["| constant | value | what it bounds |", "|---|---|---|"]
    others += [
        f"| `{name}` | {shown(name, value)} | {comment} |"
        for name, (value, comment) in sorted(known.items())
        if name not in named
    ]
    return "\n".join([*lines, _START, *others, _END]) + rest.partition(_END)[2]


def value_of(name: str, known: dict[str, tuple[Any, str]]) -> str | None:
    """How the page shows a setting's value; None for a field whose default depends on something."""
    if name in known:
        return shown(name, known[name][0])
    if name in ELSEWHERE:
        return None
    default = fields().get(name, KeyError)
    if default is KeyError:
        raise ValueError(f"{PAGE.name}: {name} is neither a field of a RoutePolicy nor a constant of the router")
    return None if default is None else shown(name, default)


def shown(name: str, value: Any) -> str:
    """A value with its unit."""
    last = name.rpartition(".")[2]
    if isinstance(value, str):
        return f"{value}"
    if last.endswith("BYTES"):
        for size, unit in ((1024 * 1024, "MiB"), (1024, "KiB")):
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
        return f"{value:,} bytes"
    if last.lower().endswith("seconds") and not last.endswith("PER_SECOND"):
        return f"{value:g} s"
    if last.endswith("CHARACTERS"):
        return f"{value:,} characters"
    if last.endswith(("SHARE", "JITTER")):
        return f"{value:.0%}".replace("%", " %")
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def constants() -> dict[str, tuple[Any, str]]:
    """Every number that stands at the top of a module of the router, under the module's name, with its comment."""
    found: dict[str, tuple[Any, str]] = {}
    for path in sorted(ROUTER.rglob("*.py")):
        module = ".".join(path.relative_to(ROUTER).with_suffix("").parts)
        names = list(_names(path))
        if not names:
            continue
        loaded = importlib.import_module(f"genset.router.{module}")
        for name, comment in names:
            value = getattr(loaded, name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{module}.{name}"] = (value, comment)
    return found


def _names(path: Path) -> Iterator[tuple[str, str]]:
    """Names in capitals that a module assigns, private ones as well, each with the comment beside it or above it."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.parse(text).body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if not isinstance(target, ast.Name) or not re.fullmatch(r"_?[A-Z][A-Z0-9_]*", target.id):
            continue
        beside = [lines[n].partition("  # ")[2] for n in range(node.lineno - 1, node.end_lineno or node.lineno)]
        above = []
        for n in range(node.lineno - 2, -1, -1):
            if not lines[n].startswith("#:"):
                break
            above.insert(0, lines[n][2:].strip())
        yield target.id, " ".join([*filter(None, beside), *above]).replace("|", "\\|")


def fields() -> dict[str, Any]:
    """Every number of a RoutePolicy's spec under its path, with its default."""
    return dict(_fields(_inner(RoutePolicy.model_fields["spec"].annotation), ""))


def _fields(model: type[BaseModel], path: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        here = f"{path}{field.alias or name}"
        inner = _inner(field.annotation)
        extra = [item for item in field.metadata if isinstance(getattr(item, "json_schema_extra", None), dict)]
        quantity = isinstance(field.json_schema_extra, dict) and "x-genset-quantity" in field.json_schema_extra
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            many = typing.get_origin(_plain(field.annotation)) is list
            yield from _fields(inner, f"{here}[]." if many else f"{here}.")
        elif inner in (int, float) or quantity or any("x-genset-quantity" in item.json_schema_extra for item in extra):
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            yield here, default


def _plain(annotation: Any) -> Any:
    """An annotation without its None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(annotation) if arg is not type(None))
    return annotation


def _inner(annotation: Any) -> Any:
    """What a field holds, also as one of a list."""
    plain = _plain(annotation)
    if typing.get_origin(plain) is list:
        return _inner(typing.get_args(plain)[0])
    return typing.get_args(plain)[0] if typing.get_origin(plain) is typing.Annotated else plain
