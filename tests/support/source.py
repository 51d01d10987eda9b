"""This module reads the package's source as text: who imports whom, and who sets which attributes."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "genset"


@dataclass(frozen=True)
class Import:
    """An import is of `imported` by `importer`, both modules of ours. `for_types`: only for the type checker."""

    importer: str
    imported: str
    for_types: bool


@dataclass(frozen=True)
class Class:
    """A class with the attributes that it sets itself. `bases` are names as they are written there."""

    module: str
    name: str
    attributes: frozenset[str]
    bases: tuple[str, ...]


@cache
def modules() -> dict[str, ast.Module]:
    """Returns every module of the package by its dotted name; a package itself is named like its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(), str(path))
    return found


def room(module: str) -> str:
    """Returns the folder that a module stands in; inside the router, the room."""
    parts = module.split(".")[1:]
    depth = 2 if parts[0] == "router" else 1
    return ".".join(parts[: min(depth, max(1, len(parts) - 1))])


@cache
def imports() -> list[Import]:
    return [found for name, tree in modules().items() for found in _imports_of(name, tree, for_types=False)]


def _imports_of(importer: str, node: ast.AST, *, for_types: bool) -> Iterator[Import]:
    for inner in ast.iter_child_nodes(node):
        # What a function imports when it runs, or a program only under a condition, decides nothing about the order of
        # loading.
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(inner, ast.If):
            checked = for_types or "TYPE_CHECKING" in ast.unparse(inner.test)
            yield from _imports_of(importer, inner, for_types=checked)
        elif isinstance(inner, ast.ImportFrom) and inner.module:
            for alias in inner.names:
                full = f"{inner.module}.{alias.name}"
                imported = full if full in modules() else inner.module
                if imported in modules():
                    yield Import(importer, imported, for_types)
        elif isinstance(inner, ast.Import):
            for alias in inner.names:
                if alias.name in modules():
                    yield Import(importer, alias.name, for_types)
        else:
            yield from _imports_of(importer, inner, for_types=for_types)


def cycles(edges: list[Import]) -> list[list[str]]:
    """Returns groups of modules that import one another (Tarjan's strongly connected components of several members)."""
    graph: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        graph[edge.importer].add(edge.imported)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(one: str) -> None:
        index[one] = low[one] = len(index)
        stack.append(one)
        for other in graph[one]:
            if other not in index:
                visit(other)
                low[one] = min(low[one], low[other])
            elif other in stack:
                low[one] = min(low[one], index[other])
        if low[one] == index[one]:
            group = []
            while not group or group[-1] != one:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for one in list(graph):
        if one not in index:
            visit(one)
    return groups


@cache
def classes() -> list[Class]:
    return [
        Class(
            name, node.name, frozenset(_attributes(node)), tuple(ast.unparse(base).split("[")[0] for base in node.bases)
        )
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            if "ClassVar" not in ast.unparse(part.annotation):
                yield part.target.id
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(part):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and _is_self(inner.value):
                    yield inner.attr


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def attributes_with_bases(one: Class) -> frozenset[str]:
    """Returns the attributes of an instance, with those of its bases as far as they are ours, too."""
    found = set(one.attributes)
    known = {one.module, *(edge.imported for edge in imports() if edge.importer == one.module)}
    for other in classes():
        if other.name in one.bases and other.module in known and other is not one:
            found |= attributes_with_bases(other)
    return frozenset(found)


def set_from_outside() -> dict[str, dict[str, int]]:
    """Counts how often each room sets an attribute of an object that is not its own, by attribute.

    The source has no types, so an attribute belongs to every room in which a class has one of that name.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for one in classes():
        for attribute in one.attributes:
            owners[attribute].add(room(one.module))
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store) or _is_self(node.value):
                continue
            if node.attr in owners and room(name) not in owners[node.attr]:
                found[room(name)][node.attr] += 1
    return {name: dict(counted) for name, counted in found.items()}
