"""One run of the puller takes the model and then its companions: projector and adapters, one after the other.

Each is a fetch or a check like the model's own, with a folder, a lock and credentials of its own. Progress adds up; a failure
names the part, and the fields of the resource as they are written there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from genset.contracts.puller import CheckSpec, Companion, FetchSpec, PartProgress, Role
from genset.weights import local
from genset.weights.failure import WeightsFailure
from genset.weights.fetch import fetch
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry

MODEL = "model"  # name of the model among the parts
_FIELD = re.compile(r"\bsource\.(?=[a-zA-Z0-9]+\.)")  # as messages name a field of a model's source


@dataclass(frozen=True)
class Taken:
    """This is what has come of all parts: bytes of all, and the model's own revision."""

    total_bytes: int
    revision: str = ""
    warning: str = ""
    parts: tuple[PartProgress, ...] = ()  # empty if there is only the model


def run(
    model: FetchSpec | CheckSpec, companions: Sequence[Companion], progress: ProgressLog, retry: Retry | None = None
) -> Taken:
    """Makes every path complete and verified, or raises WeightsFailure."""
    named = [(MODEL, "spec.source", model), *((one.name, one.field, one.spec) for one in companions)]
    if not companions:
        return _one(model, progress, retry)
    parts = [PartProgress(name, "waiting") for name, _, _ in named]
    outcomes: list[Taken] = []
    for number, (name, field, spec) in enumerate(named):
        before = sum(outcome.total_bytes for outcome in outcomes)
        parts[number] = replace(parts[number], state="downloading")
        progress.update(parts=tuple(parts))
        with _named(name, field), progress.behind(before):
            outcome = _one(spec, progress, retry)
        outcomes.append(outcome)
        parts[number] = PartProgress(name, "done", outcome.total_bytes, outcome.revision)
        progress.update(parts=tuple(parts), state="downloading" if number + 1 < len(named) else "done")
    warnings = [
        f"{name}: {outcome.warning}" for (name, _, _), outcome in zip(named, outcomes, strict=True) if outcome.warning
    ]
    total = sum(outcome.total_bytes for outcome in outcomes)
    return Taken(total, outcomes[0].revision, "; ".join(warnings), tuple(parts))


def _one(spec: FetchSpec | CheckSpec, progress: ProgressLog, retry: Retry | None) -> Taken:
    if isinstance(spec, CheckSpec):
        local.check_part(spec)
        return Taken(_size(Path(spec.path)))
    fetched = fetch(spec, progress, retry=retry)
    if spec.role != Role.MODEL:  # it may have been there already, as something else
        local.check_part(CheckSpec(spec.model_path, role=spec.role, whole_folder=spec.whole_folder))
    return Taken(fetched.model.size, fetched.model.revision, fetched.warning)


def _size(path: Path) -> int:
    """Returns the bytes of a file, or of the files of a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


@contextmanager
def _named(name: str, field: str) -> Iterator[None]:
    """Has a failure name its part, and the fields of that part instead of the model's."""
    try:
        yield
    except WeightsFailure as failure:
        if name == MODEL:
            raise
        own = field.removeprefix("spec.")
        what = "Projector" if field == "spec.projector" else f"Adapter {name}"
        message = f"{what}: {_FIELD.sub(f'{own}.', failure.message)}"
        raise WeightsFailure(failure.reason, message, permanent=failure.permanent) from failure
