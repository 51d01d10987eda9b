"""The order of the source: no module needs itself, and the page that leads through it names what is there."""

from __future__ import annotations

import ast
import importlib
import re

from genset.api.engines import FIELDS
from tests.support.source import ROOT, cycles, imports, modules


def test_no_module_needs_itself() -> None:
    assert cycles(imports()) == []


def test_nothing_of_ours_is_imported_for_types_only() -> None:
    """A type that cannot be imported in the ordinary way stands in the wrong room."""
    assert [one for one in imports() if one.for_types] == []


def test_no_file_but_an_engine_s_own_names_it() -> None:
    """What engines do differently is a member of their type: nothing asks which one it is, or reads its block."""
    # Advice and providers name programs that people run elsewhere; what a model needs is reckoned by the ways of the program
    # that loads it.
    apart = ("genset.router.process.advice", "genset.router.providers", "genset.sizing", "genset.planning")
    blocks, own = set(FIELDS.values()), ("genset.api.engines", "genset.engines", *apart)
    named = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        if not name.startswith(own)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and node.value in FIELDS.keys() | blocks)
        or (isinstance(node, ast.Attribute) and node.attr in blocks)
    ]
    assert not named


def test_the_walks_name_what_is_there() -> None:
    """ARCHITECTURE.md: every dotted name of the two walks is a module of ours, or something in one."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    walks = text[text.index("## How a change travels") : text.index("`router/` is built in rooms")]
    named = set(re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", walks))
    missing = [
        name for name in sorted(named) if not (_is_there(f"genset.router.{name}") or _is_there(f"genset.{name}"))
    ]
    assert len(named) > 50 and not missing


def _is_there(name: str) -> bool:
    parts = name.split(".")
    for size in range(len(parts), 1, -1):
        try:
            found = importlib.import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_the_map_names_every_file_of_the_router() -> None:
    """ARCHITECTURE.md: the table of rooms. What it names is there, and what is there is named."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    missing, rows = [], dict(re.findall(r"^\| `([a-z]+)/` \| (.*) \|$", text, flags=re.MULTILINE))
    for name in modules():
        parts = name.split(".")
        if parts[:2] != ["genset", "router"] or len(parts) < 4 or f"genset.router.{parts[2]}" == name:
            continue
        if (
            parts[2] in ("continuation", "providers")
            or "balance" in parts
            or "shortcuts" in parts
            or parts[-1] in ("openai", "anthropic")
            or "replies" in parts
        ):
            continue  # one file per rule, provider, strategy, shortcut
        if f"`{parts[-1]}`" not in rows.get(parts[2], ""):
            missing.append(f"{parts[2]}/: {parts[-1]}")
    assert not missing, "ARCHITECTURE.md does not name these files in their rooms"
    known = {part for name in modules() for part in name.split(".")}
    invented = [word for row in rows.values() for word in re.findall(r"`([a-z_]+)`", row) if word not in known]
    assert not invented, "ARCHITECTURE.md names files that are not there"
