"""A shape rule is what one route says of the shape of its requests. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.contracts.route_config import ShapeConfig
from genset.router.shapes.daytime import Daytime
from genset.router.shapes.request_shape import RequestShape
from genset.router.shapes.schema_size import MANY

_ANY: Final = 2 * MANY


@final
class ShapeRule:
    """A shape rule takes requests of one shape. The time is looked at first, because it needs nothing of the request."""

    __slots__ = ("_daytime", "_languages", "_numbers", "_tasks")

    def __init__(self, config: ShapeConfig) -> None:
        self._numbers = [
            (one.number, one.at_least or 0, one.at_most if one.at_most is not None else _ANY)
            for one in config.numbers or ()
        ]
        self._tasks = frozenset(config.tasks or ())
        self._languages = frozenset(config.languages or ())
        self._daytime = Daytime(config.time) if config.time is not None else None

    def takes(self, shape: RequestShape) -> bool:
        """Returns whether a request has the shape."""
        if self._daytime is not None and not self._daytime.holds(shape.moment):
            return False
        if not self._numbers and not self._languages and not self._tasks:
            return True
        found = shape.look()
        for number, least, most in self._numbers:
            if not least <= found[number] <= most:
                return False
        if self._tasks and shape.task.word not in self._tasks:
            return False
        return not self._languages or shape.language in self._languages

    def why_not(self, shape: RequestShape) -> str:
        """Says which condition a request does not meet; "" if it meets all."""
        if self._daytime is not None and not self._daytime.holds(shape.moment):
            return f"match.shape.time is {self._daytime.told()}"
        found = shape.look() if self._numbers or self._languages or self._tasks else {}
        for number, least, most in self._numbers:
            has = found[number]
            if not least <= has <= most:
                return f"match.shape.{number} is {_told(least, most)}, and the request has {_shown(number, has)}"
        if self._tasks and shape.task.word not in self._tasks:
            told = f"{shape.task.word or 'none'} ({shape.task.why})"
            return f"match.shape.task is {', '.join(sorted(self._tasks))}, and the request's is {told}"
        if self._languages and shape.language not in self._languages:
            which = shape.language or "one that cannot be told"
            return f"match.shape.languages is {', '.join(sorted(self._languages))}, and the request's is {which}"
        return ""


def _told(least: int, most: int) -> str:
    if most == _ANY:
        return f"{least} or more"
    return f"at most {most}" if not least else f"{least}" if least == most else f"{least} to {most}"


def _shown(number: str, has: int) -> str:
    if has < MANY:
        return str(has)
    return "no limit" if number == "answerTokens" else "more than is counted"
