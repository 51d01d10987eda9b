"""An answer brings models and nodes together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from genset.planning import plan, table
from genset.planning.errors import PlanError
from genset.planning.sources import Changes, Wanted, changed
from genset.sizing import mismatch
from genset.sizing import nodes as sizing_nodes
from genset.sizing.nodes import Node, NodesError


def nodes(file: Path | None, context: str | None) -> Sequence[Node]:
    """Returns the nodes of a file or of a cluster; common sizes if neither is named."""
    if context is not None:
        from genset.planning import cluster

        return cluster.nodes(context)
    if file is None:
        return plan.COMMON
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        found = sizing_nodes.from_document(yaml.safe_load(text))
    except OSError as error:
        raise PlanError(f"{file} can't be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"{file} is no YAML: {str(error).splitlines()[0]}") from error
    except NodesError as error:
        raise PlanError(f"{file}: {error}") from error
    if not found:
        raise PlanError(f"{file} lists no nodes")
    return found


def make(wanted: Wanted, changes: Changes, known: Sequence[Node]) -> plan.ModelPlan:
    """Returns the plan for one model."""
    ask = changed(wanted.ask, changes)
    if problem := plan.engine_problem(wanted.found, ask):
        raise PlanError(f"{wanted.name}: {problem}")
    serving = replace(wanted.serving, use=ask.use, pooled=ask.pooled)
    if problems := list(mismatch.problems(wanted.found.model, serving)):
        raise PlanError(f"{wanted.name} ({wanted.found.shown}): {'; '.join(problems)}")
    stated = ""
    if wanted.stated and ask.on_cpu:
        stated = table.stated_text(wanted.stated, plan.on_cores(wanted.found, ask).host.total)
    return plan.make(wanted.found, ask, known, wanted.name, stated)
