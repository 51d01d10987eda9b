"""The shape of a request is looked for once, when the first route asks for it, and no more of it than some route reads. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

from genset.contracts.route_config import ShapeConfig
from genset.router.machine.answer_room import limit_of
from genset.router.shapes.language import language_of
from genset.router.shapes.schema_size import MANY, NO_SCHEMA, SchemaSize, schema_of, size_of
from genset.router.shapes.tasks import Looked, Task, task_of
from genset.router.shapes.texts import Prose, questions_in, said_in, text_of, words_in
from genset.router.shapes.walk import Walked, is_forced, tools_of, walk

TASK: Final = "task"
LANGUAGE: Final = "language"
_SIZES: Final = frozenset(("enumsOnly", "schemaFields", "schemaDepth"))
_TEXTS: Final = frozenset(("codePercent", "questions", LANGUAGE, TASK))
_WALKED: Final = frozenset(("turns", "openToolLoop", "images", "audio", "files", "systemWords")) | _TEXTS
#: Whatever can be read of a request, in the order in which it is told.
READABLE: Final = (
    "promptTokens", "answerTokens", "turns", "tools", "forcedTool", "openToolLoop", "images", "audio", "files", "schema",
    "enumsOnly", "schemaFields", "schemaDepth", "codePercent", "questions", "systemWords", LANGUAGE, TASK,
)  # fmt: skip
_NO_TASK: Final = Task("", "no text is asked for")
_MOST_LOOKED_BACK: Final = (
    16  # letters of the user's last message, below which the one before it counts for the language, too
)


def read_by(shapes: Iterable[ShapeConfig]) -> frozenset[str]:
    """Returns what these shapes read of a request."""
    found: set[str] = set()
    for shape in shapes:
        found.update(one.number for one in shape.numbers or ())
        if shape.languages is not None:
            found.add(LANGUAGE)
        if shape.tasks is not None:
            found.add(TASK)
    return frozenset(found)


@final
class RequestShape:
    """The shape of a request: its `numbers` by name, its `task`, its `language`, and the moment at which it came.

    Made for each request of a table with shapes; it holds nothing before `look`.
    """

    __slots__ = ("_generates", "_looked", "_reads", "_request", "_tokens", "language", "moment", "numbers", "task")

    def __init__(
        self, reads: frozenset[str], request: dict[str, Any], tokens: int, moment: float, *, generates: bool = True
    ) -> None:
        """`reads`: what is looked for. `tokens`: those of the prompt. `moment`: in seconds since 1970. `generates`: text
        is asked for, so that the request has a task."""
        self._generates = generates
        self._reads = reads
        self._request = request
        self._tokens = tokens
        self._looked = False
        self.moment = moment
        self.numbers: dict[str, int] = {}
        self.language = ""
        self.task = _NO_TASK

    def look(self) -> Mapping[str, int]:
        """Looks at the request, the first time, and returns its numbers."""
        if not self._looked:
            self._looked = True
            self._look(self._request, self._reads, self.numbers)
        return self.numbers

    def _look(self, request: dict[str, Any], reads: frozenset[str], numbers: dict[str, int]) -> None:
        if "promptTokens" in reads:
            numbers["promptTokens"] = self._tokens
        if "answerTokens" in reads:
            numbers["answerTokens"] = limit_of(request) or MANY
        if "tools" in reads:
            numbers["tools"] = tools_of(request)
        if "forcedTool" in reads:
            numbers["forcedTool"] = int(is_forced(request))
        if "schema" in reads:
            numbers["schema"] = int(schema_of(request) is not None)
        if not reads.isdisjoint(_SIZES):
            schema = schema_of(request)
            size: SchemaSize = size_of(schema) if schema is not None else NO_SCHEMA
            numbers["enumsOnly"] = int(size.enums_only)
            numbers["schemaFields"], numbers["schemaDepth"] = size.fields, size.depth
        if not reads.isdisjoint(_WALKED):
            self._walk(walk(request), request, reads, numbers)

    def _walk(self, walked: Walked, request: dict[str, Any], reads: frozenset[str], numbers: dict[str, int]) -> None:
        numbers["turns"] = walked.turns
        numbers["openToolLoop"] = int(walked.looping)
        numbers.update(walked.attached)
        if "systemWords" in reads:
            numbers["systemWords"] = words_in(walked.system)
        if reads.isdisjoint(_TEXTS):
            return
        text = said_in(walked.asked, walked.earlier)
        if "questions" in reads:
            numbers["questions"] = questions_in(text)
        if "codePercent" in reads or LANGUAGE in reads or TASK in reads:
            prose = Prose(text)
            numbers["codePercent"] = prose.code_percent
            if LANGUAGE in reads:
                self.language = language_of(_with_earlier(prose.text, walked.earlier))
            if TASK in reads and self._generates:
                self.task = task_of(_looked(request, walked, prose))


def _looked(request: dict[str, Any], walked: Walked, prose: Prose) -> Looked:
    schema = schema_of(request)
    return Looked(
        tools=tools_of(request),
        forced=is_forced(request),
        looping=walked.looping,
        schema=schema is not None,
        enums_only=schema is not None and size_of(schema).enums_only,
        code_percent=prose.code_percent,
        asked=prose.text,
        system=text_of(walked.system[0]) if walked.system else "",
    )


def _with_earlier(prose: str, earlier: Any) -> str:
    """Returns the text by which the language is told: "ok, thanks" has one if what was said before has."""
    if len(prose) >= _MOST_LOOKED_BACK or earlier is None:
        return prose
    return f"{prose}\n{Prose(text_of(earlier)).text}"
