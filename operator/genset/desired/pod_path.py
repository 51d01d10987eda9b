"""A path names a field of the pod that genset makes, so that a podTemplate can take it away.

A path is `spec`, then `.FIELD` or `.FIELD[KEY]` for each step. KEY is an entry of a map, or an element of a list by what
Kubernetes tells its elements apart by. Nothing is quoted: no key of Kubernetes has brackets in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from genset.desired.merge_keys import NAMED
from genset.engines.base import Object

_STEP = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)(?:\[([^\[\]]+)\])?")
_ROOT = "spec"


def steps(path: str) -> list[tuple[str, str]]:
    """Returns (field, key) of each step of a path behind `spec`; the key is empty if the step has none."""
    return [(field, key) for field, key in _STEP.findall(path.removeprefix(_ROOT))]


def is_there(spec: Object, path: str) -> bool:
    """Returns whether the path names something in the pod's spec."""
    return without(spec, path) is not None


def without(spec: Object, path: str) -> Object | None:
    """Returns the pod's spec without what the path names; None if it names nothing. The argument is not changed."""
    left: Object | None = _without(spec, list(_parts(path)))
    return left


def there_instead(spec: Object, path: str) -> tuple[str, list[str]]:
    """Returns the longest beginning of a path that names something, and what stands under it."""
    here: Any = spec
    known, field = _ROOT, ""
    for part in _parts(path):
        following = _under(here, field, part)
        if following is None:
            break
        here, known, field = following, known + part.shown, part.text
    return known, sorted(_names(here, field))


class _Part(NamedTuple):
    """A part is a field, or the key in brackets behind one."""

    text: str
    is_key: bool

    @property
    def shown(self) -> str:
        return f"[{self.text}]" if self.is_key else f".{self.text}"


def _parts(path: str) -> Iterator[_Part]:
    for field, key in steps(path):
        yield _Part(field, False)
        if key:
            yield _Part(key, True)


def _without(here: Any, parts: list[_Part], field: str = "") -> Any:
    first, rest = parts[0], parts[1:]
    if isinstance(here, Mapping):
        if first.text not in here:
            return None
        changed = _without(here[first.text], rest, first.text) if rest else ()
        if changed is None:
            return None
        if not changed:  # the API server keeps no list and no map that became empty
            return {key: value for key, value in here.items() if key != first.text}
        return {**here, first.text: changed}
    index = _index(here, field, first)
    if index is None:
        return None
    changed = _without(here[index], rest, first.text) if rest else ()
    if changed is None:
        return None
    return [*here[:index], *([changed] if changed else []), *here[index + 1 :]]


def _under(here: Any, field: str, part: _Part) -> Any:
    if isinstance(here, Mapping):
        return here.get(part.text)
    index = _index(here, field, part)
    return None if index is None else here[index]


def _index(here: Any, field: str, part: _Part) -> int | None:
    """Returns the place of an element of a list by its key; None if it is no list, or has none of that key."""
    name = NAMED.get(field)
    if not isinstance(here, list) or name is None or not part.is_key:
        return None
    return next(
        (i for i, item in enumerate(here) if isinstance(item, Mapping) and str(item.get(name)) == part.text), None
    )


def _names(here: Any, field: str) -> list[str]:
    if isinstance(here, Mapping):
        return [str(key) for key in here]
    name = NAMED.get(field)
    if isinstance(here, list) and name is not None:
        return [str(item[name]) for item in here if isinstance(item, Mapping) and name in item]
    return []
