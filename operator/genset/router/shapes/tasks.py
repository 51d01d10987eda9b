"""The task of a request is told by rules: what it has (tools, a schema, source code), then what its words say. Pure.

What the rules cannot tell, because nothing says so or two things as loudly, is Converse: nothing is guessed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from genset.router.shapes.cues import weights_in

CONVERSE: Final = "Converse"
HEAD_CHARACTERS: Final = 320  # of a text whose words say what is asked for; what stands between is what it is about
TAIL_CHARACTERS: Final = 160
_LEAST_WEIGHT: Final = 4
_MUCH_CODE: Final = 40  # percent


class Task(NamedTuple):
    """A task with the rule that told it."""

    word: str
    why: str


class Looked(NamedTuple):
    """What is known of a request when its task is told. `asked`: prose of the user's last message."""

    tools: int
    forced: bool
    looping: bool
    schema: bool
    enums_only: bool
    code_percent: int
    asked: str
    system: str


def task_of(looked: Looked) -> Task:
    """Tells the task of a request."""
    if looked.looping:
        return Task("Agent", "a tool has answered, and the model is to go on")
    if looked.tools and not looked.forced:
        return Task("Agent", "it offers tools to choose from")
    if looked.enums_only:
        return Task("Classify", "its schema leaves choices alone")
    weights = weights_in(_ends(looked.asked))
    for task in weights_in(_first(looked.asked)):  # what follows may be what it is about
        weights[task] = weights.get(task, 0) + 2
    for task, weight in weights_in(looked.system[:HEAD_CHARACTERS]).items():
        weights[task] = weights.get(task, 0) + weight - 1  # of two, the user counts
    if looked.code_percent >= _MUCH_CODE:
        weights["Code"] = weights.get("Code", 0) + 3
    if looked.schema or looked.forced:
        weights["Extract"] = weights.get("Extract", 0) + 4
    return _heaviest(weights)


def _heaviest(weights: dict[str, int]) -> Task:
    best, most, second = CONVERSE, 0, 0
    for task, weight in weights.items():
        if weight > most:
            best, most, second = task, weight, most
        elif weight > second:
            second = weight
    if most < _LEAST_WEIGHT - 1:
        return Task(CONVERSE, "nothing in it says what else it could be")
    if most == second:
        return Task(CONVERSE, "it says two things as loudly")
    return Task(best, f"its words say so ({most} against {second})")


def _first(text: str) -> str:
    """Returns the first sentence, or the first line."""
    begin = text.lstrip()[:TAIL_CHARACTERS]
    for mark in (". ", ": ", "\n", "。", "："):
        begin = begin.partition(mark)[0]
    return begin


def _ends(text: str) -> str:
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return text
    return f"{text[:HEAD_CHARACTERS]}\n{text[len(text) - TAIL_CHARACTERS :]}"
