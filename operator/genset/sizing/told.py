"""A model is told in a kilobyte, from the program that has its files to the one that knows how it is used.

Layers that are alike are told once, with their number and the sum of their weights; which of them stands where is lost, the
memory of all of them is not. What comes from elsewhere is bounded as a header is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from genset.sizing.model import Edges, Experts, Layer, ModelError, ModelFacts, Parameters, SideCache, Task, integer

MOST_LAYERS = 1024
_MOST_GROUPS = 64
_TEXT = 64  # characters
_WORDS = 320  # characters of one thing that does not fit
_MOST_UNFIT = 2  # told one by one: the last words of a container are short
_NUMBERS = ("key", "value", "key_head", "value_head", "window", "state", "queries", "mixed")


def tell(model: ModelFacts) -> dict[str, Any]:
    """Returns a model as plain JSON."""
    unfit = [words[:_WORDS] for words in model.unfit[:_MOST_UNFIT]]
    if len(model.unfit) > _MOST_UNFIT:
        unfit[-1] = f"{len(model.unfit) - _MOST_UNFIT + 1} more companions belong to another model"
    return {
        **({"unfit": unfit} if unfit else {}),
        "architecture": model.architecture,
        "quantisation": model.quantisation,
        "licence": model.licence,
        "task": str(model.task),
        "context": model.context,
        "fileBytes": model.file_bytes,
        "parameters": list(astuple(model.parameters)),
        "experts": list(astuple(model.experts)),
        "edges": list(astuple(model.edges)),
        "layers": _groups(model.layers),
        **({"ahead": _groups(model.ahead)} if model.ahead is not None else {}),
    }


def _groups(layers: Sequence[Layer]) -> list[list[Any]]:
    groups: dict[Layer, list[int]] = {}
    for layer in layers:
        sums = groups.setdefault(replace(layer, weights=0, experts=0), [0, 0, 0])
        sums[0] += 1
        sums[1] += layer.weights
        sums[2] += layer.experts
    return [
        [
            *sums,
            [getattr(layer, name) for name in _NUMBERS],
            [[one.key, one.ratio] for one in layer.side],
            int(layer.apart),
        ]
        for layer, sums in groups.items()
    ]


def read(document: Mapping[str, Any]) -> ModelFacts | None:
    """Returns the model that was told; None if it is none."""
    try:
        layers = tuple(layer for group in _listed(document.get("layers"), _MOST_GROUPS) for layer in _layers(group))
        if not layers or len(layers) > MOST_LAYERS:
            return None
        return ModelFacts(
            architecture=_text(document.get("architecture")),
            layers=layers,
            edges=Edges(*_numbers(document.get("edges"), 6)),
            parameters=Parameters(*_numbers(document.get("parameters"), 2)),
            experts=Experts(*_numbers(document.get("experts"), 3)),
            quantisation=_text(document.get("quantisation")),
            licence=_text(document.get("licence")),
            context=_number(document.get("context")),
            task=Task(str(document.get("task"))),
            file_bytes=_number(document.get("fileBytes")),
            ahead=_ahead(document.get("ahead")),
            unfit=_unfit(document.get("unfit")),
        )
    except (ModelError, ValueError, TypeError):
        return None


def _layers(group: Any) -> list[Layer]:
    count, weights, experts, values, side, apart = _listed(group, 6)
    number = min(_number(count), MOST_LAYERS + 1)
    if not number:
        return []
    told: dict[str, Any] = dict(zip(_NUMBERS, _numbers(values, len(_NUMBERS)), strict=True))
    layer = Layer(
        **told,
        side=tuple(SideCache(_number(key), max(1, _number(ratio))) for key, ratio in _listed(side, 4)),
        apart=bool(apart),
    )
    made = [replace(layer, weights=_number(weights) // number, experts=_number(experts) // number)] * number
    made[0] = replace(
        made[0],
        weights=made[0].weights + _number(weights) % number,
        experts=made[0].experts + _number(experts) % number,
    )
    return made


def _ahead(value: Any) -> tuple[Layer, ...] | None:
    """Returns the layers that predict further tokens; None if an earlier release told, which did not look."""
    if value is None:
        return None
    layers = [layer for group in _listed(value, _MOST_GROUPS) for layer in _layers(group)]
    return tuple(replace(layer, ahead=True) for layer in layers[:MOST_LAYERS])


def _numbers(value: Any, count: int) -> list[int]:
    return [_number(one) for one in _listed(value, count)]


def _number(value: Any) -> int:
    return integer({"number": value}, "number", most=2**50)


def _listed(value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ModelError("no list of the right length")
    return value


def _unfit(value: Any) -> tuple[str, ...]:
    """Returns what companions are told to be unfit; none if an earlier release told, which did not look."""
    listed = value[:_MOST_UNFIT] if isinstance(value, list) else []
    return tuple(words[:_WORDS] for words in listed if isinstance(words, str) and words.isprintable())


def _text(value: Any) -> str:
    return value[:_TEXT] if isinstance(value, str) and value.isprintable() else ""
