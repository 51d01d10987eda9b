"""The confusion matrix in docs/shapes.md, from the labelled requests of the tests. Called by tools/generated.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from genset.router.shapes.request_shape import TASK, RequestShape
from tests.unit.router.shapes.labelled import TASKS, labelled

PAGE = Path(__file__).resolve().parent.parent / "docs" / "shapes.md"
_START, _END = "<!-- matrix: written by `make docs` -->\n", "<!-- end of the matrix -->\n"


def task(request: dict[str, Any]) -> str:
    """Returns the task that a router tells a request to have."""
    shape = RequestShape(frozenset((TASK,)), request, 0, 0.0)
    shape.look()
    return shape.task.word


def matrix() -> str:
    """The table, of the held-out half: a row for each task that it is, a column for each that it is told to be."""
    told = Counter((one.task, task(one.request)) for one in labelled() if one.held_out)
    lines = [f"| it is \\ it is told to be | {' | '.join(TASKS)} |", "|---|" + "---:|" * len(TASKS)]
    lines += [f"| {of} | {' | '.join(str(told[of, to] or '') for to in TASKS)} |" for of in TASKS]
    return "\n".join(lines) + "\n"


def page() -> str:
    before, start, rest = PAGE.read_text().partition(_START)
    _, end, after = rest.partition(_END)
    if not start or not end:
        raise ValueError(f"{PAGE.name}: put {_START.strip()} and {_END.strip()} where the matrix belongs")
    return f"{before}{start}\n{matrix()}\n{end}{after}"
