"""An answer brings models and nodes together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from genset.planning import plan, table
from genset.planning.errors import PlanError
from genset.planning.sources import Changes, Wanted, changed
from genset.sizing import kv_cache
from genset.sizing import nodes as sizing_nodes
from genset.sizing.memory import Placement, need
from genset.sizing.model import Task
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
    model = wanted.found.model
    if model.task in (Task.PROJECTOR, Task.ADAPTER):
        raise PlanError(
            f"{wanted.found.shown} is a {str(model.task).lower()}, no model of its own: plan the model it is for"
        )
    if problem := plan.engine_problem(wanted.found, ask) or kv_cache.problem(model, ask.use):
        raise PlanError(f"{wanted.name}: {problem}")
    stated = ""
    if wanted.stated and ask.on_cpu:
        needed = need(model, ask.use, Placement(), prompts=ask.prompts, projector=ask.projector).host.total
        stated = table.stated_text(wanted.stated, needed)
    return plan.make(wanted.found, ask, known, wanted.name, stated)
