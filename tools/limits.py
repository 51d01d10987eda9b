"""The values in docs/limits.md, from the code that they bound. Called by tools/generated.py.

A row of a table there names its settings in its third cell: fields of a RoutePolicy (`routes[].failover.totalSeconds`) or
constants of the router (`http.client_timeouts.HEAD_SECONDS`). Its second cell is written here. Constants that no row names are
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
PACKAGE = ROOT / "operator" / "genset"
ROUTER = PACKAGE / "router"
BESIDE = (PACKAGE / "contracts" / "config_parts.py", PACKAGE / "times.py")  # of others, too

#: Numbers that bound nothing: units, sizes of formats, parts of an algorithm. By the module that they stand in.
_PUBLIC = {
    "backends.balance.prompt": "BYTES_PER_TOKEN",
    "backends.failures": "RECORD_BYTES",
    "dialects.openai.shortcuts.frame": "UNKNOWN OPENING TEXT FINISH COUNTS",
    "routing.table": "BYTES_PER_TOKEN",
    "shapes.schema_size": "MANY",
    "telemetry.tracing": "NANOSECONDS",
}
#: Private numbers that bound nothing. Any other private number is a limit, and has its place on the page.
_PRIVATE = {
    "backends.balance.prefix_affinity": "_MASK _QUARTERS",
    "backends.spelling": "_STRIDE",
    "backends.window": "_BUCKETS _BUCKET_SECONDS",
    "dialects.openai.event_buffer": "_NEWLINE _RETURN",
    "dialects.openai.events": (
        "_MOST_DIGITS _FINISH_LENGTH _N _F _NOUGHT _QUOTE _COMMA _CLOSE _SPACE _NEWLINE _RETURN"  # characters, most of them
    ),
    "backends.known_head": "_MOST_DIGITS_OF_SIZE _NEWLINE _RETURN",
    "dialects.openai.forward": "_CLOSE _NEWLINE _LEAST_EVENT",
    "dialects.openai.rebuild": "_NEWLINE",
    "dialects.openai.shortcuts.frame": "_CLOSE _ZERO",
    "dialects.openai.shortcuts.template": "_QUOTE _BACKSLASH _NEWLINE _RETURN",
    "dialects.openai.stream_reader": "_CLOSE _NEWLINE",
    "dialects.openai.transcript": "_NEWLINE",
    "dialects.openai.whole_answer": "_ZERO _MOST_DIGIT _SPACE",
    "dialects.upstream_error": "_MOST_CODE",
    "http.bodies": "_LONG _SMALL _SHORT _CANDIDATES",
    "http.body_cost": "_OBJECT _ENTRY _LIST _ITEM _WINDOW _ESCAPE",
    "http.codings": "_GZIP _ZLIB _RAW",
    "http.trace_context": "_VERSION_00_LENGTH",
    "http.response_reader": "_END_BYTES",
    "process.advice": "_CLOSE",
    "shapes.daytime": "_MINUTES",
    "shapes.language": "_LEAST_LETTERS _LEAST_CERTAIN",
    "shapes.request_shape": "_MOST_LOOKED_BACK",
    "shapes.rule": "_ANY",
    "shapes.tasks": "_LEAST_WEIGHT _MUCH_CODE",
    "shapes.texts": "_LONGEST_NAME",
}
PRIVATE_NO_LIMITS = {f"{module}.{name}" for module, names in _PRIVATE.items() for name in names.split()}
NO_LIMITS = PRIVATE_NO_LIMITS | {f"{module}.{name}" for module, names in _PUBLIC.items() for name in names.split()}
#: Bounds that are no constants; the page holds their values by hand.
ELSEWHERE = {"shared.Configured.most_body_bytes"}
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
    for path in (*BESIDE, *sorted(ROUTER.rglob("*.py"))):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(parts).removeprefix("router.")
        names = list(_names(path))
        if not names:
            continue
        loaded = importlib.import_module(".".join(("genset", *parts)))
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
