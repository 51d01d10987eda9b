"""A model suits its engine, or not, by its own files: told as soon as they are there, before the engine has failed."""

from __future__ import annotations

from genset.api.modeldeployment import ModelDeployment, Reason
from genset.desired.model_use import serving_of
from genset.engines import managed_engine_of
from genset.sizing import mismatch
from genset.sizing.model import ModelFacts
from genset.status.conditions import Verdict


def unserved(resource: ModelDeployment, model: ModelFacts | None) -> Verdict | None:
    """Returns why the engine will not serve the model as the resource asks it to; None if nothing is known against it."""
    if model is None or managed_engine_of(resource) is None:
        return None
    found = list(mismatch.problems(model, serving_of(resource)))
    if not found:
        return None
    words = f"Engine {resource.spec.engine} cannot serve this model as asked: {'; '.join(found)}"
    return Verdict("False", Reason.MODEL_MISMATCH, words, needs_person=True)


def cut_off(resource: ModelDeployment, model: ModelFacts | None) -> Verdict | None:
    """Returns the warning that requests may not be as long as the resource says."""
    if model is None or managed_engine_of(resource) is None:
        return None
    serving = serving_of(resource)
    if serving.pooled or not mismatch.is_too_long(model, serving):
        return None
    return Verdict(
        "True",
        Reason.CONTEXT_TOO_LONG,
        f"spec.context.tokens is {serving.use.tokens}, and the model was made for {model.context}: the server takes no longer "
        "requests than that, and the rest of the memory for contexts is of no use; lower it",
    )
