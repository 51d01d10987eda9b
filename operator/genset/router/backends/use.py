"""A use is what the router counts of requests to one backend: times and tokens, by operation and model."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from genset.router.backends.histograms import BackendNumbers, Histogram

REQUEST_SECONDS: Final[tuple[float, ...]] = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)

FIRST_TOKEN_SECONDS: Final[tuple[float, ...]] = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip

PER_TOKEN_SECONDS: Final[tuple[float, ...]] = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

TOKENS: Final[tuple[float, ...]] = tuple(float(4**power) for power in range(14))


class WritingPace(NamedTuple):
    """A writing pace is how many whole answers a backend has streamed, and the sum of the seconds that each took for a token."""

    answers: int
    seconds: float


class BackendLabels(NamedTuple):
    """These labels name the backend that answered. `model` is the one that the backend was configured with."""

    backend: str
    provider: str  # gen_ai.provider.name
    model: str
    size_class: str  # of the model, if metrics are to have it; "": not known
    speed_class: str


NOBODY: Final = BackendLabels("", "", "", "", "")

#: gen_ai.operation.name; the model as the client named it if a route names it, too, otherwise "" (labels never hold
#: what clients invent); who answered.
UseKey = tuple[str, str, BackendLabels]


@final
class Uses:
    """Uses are those of one backend, by operation and model. `asked` are the labels that all of them share."""

    __slots__ = ("asked", "known")

    def __init__(self, asked: BackendLabels) -> None:
        self.asked = asked
        self.known: dict[tuple[str, str], Use] = {}


class Use:
    """A use holds the numbers of one combination of labels.

    It also feeds the backend's own histograms, which hold the same values in other buckets.
    """

    __slots__ = (
        "_numbers",
        "_whole",
        "durations",
        "first_token",
        "input_tokens",
        "output_tokens",
        "per_token",
    )

    def __init__(self, numbers: BackendNumbers | None) -> None:
        self.durations: dict[str, Histogram] = {}  # by error word; "" for whole answers
        self.first_token = Histogram(FIRST_TOKEN_SECONDS)
        self.per_token = Histogram(PER_TOKEN_SECONDS)
        self.input_tokens = Histogram(TOKENS)
        self.output_tokens = Histogram(TOKENS)
        self._numbers = numbers
        self._whole: Histogram | None = None  # of `durations`

    def answered(self, seconds: float, first: float, given: int, made: int) -> None:
        """Counts a whole answer. Only these count tokens and their pace, as the conventions demand.

        `first`: seconds to the first token, 0 if it came in one piece. A token count of 0 means that the backend did not report
        it.
        """
        whole = self._whole
        if whole is None:
            whole = self._whole = self.durations[""] = Histogram(REQUEST_SECONDS)
        whole.observe(seconds)
        if given:
            self.input_tokens.observe(float(given))
        if made:
            self.output_tokens.observe(float(made))
        numbers = self._numbers
        if numbers is not None:
            numbers.duration.observe(seconds)
        if first:
            self.first_token.observe(first)
            if made > 1:
                self.per_token.observe((seconds - first) / (made - 1))
            if numbers is not None:
                numbers.first_token.observe(first)

    def failed(self, word: str, seconds: float) -> None:
        """Counts an answer that ended with this error word."""
        found = self.durations.get(word)
        if found is None:
            found = self.durations[word] = Histogram(REQUEST_SECONDS)
        found.observe(seconds)
