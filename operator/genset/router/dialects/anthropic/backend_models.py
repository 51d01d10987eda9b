"""This module knows what differs between the models that speak Anthropic's Messages API.

A model's name is all that a request tells, so the facts hang on its family and version. Sources: `model.py` and
`deprecated_models.py` of the anthropic package 2.14.0; platform.claude.com/docs/en/api/versioning and the page of the
migration of 21 Oct 2026, read on 28 Nov 2026; which models refuse a forced tool is from LiteLLM's table of that day, and not
official. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NEWEST: Final = "2026-10-21"  # refuses temperature, top_p and top_k, whatever their value
OLDER: Final = "2023-06-01"

DEFAULT_MAX_TOKENS: Final = 32_000  # of an answer whose request sets no limit: Anthropic's API demands one
UNKNOWN_MAX_TOKENS: Final = 8_192  # the same, for a model that nothing is known of


class Thinking(StrEnum):
    """How a model thinks: not that we know, with a budget, as much as it likes if asked, unless told not to, or always."""

    UNKNOWN = "unknown"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"
    ON = "on"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """A ClaudeModel is what one model of Anthropic's takes.

    `prefill`: it goes on from a last message of the assistant. `sampling`: it takes temperature, top_p or top_k, in the older
    version of the API. `forced_tools`: it lets itself be forced to call a tool. `schema`: it answers in the form of a JSON
    schema. `system_inside`: it takes messages of role system behind the first. `most_effort`: the highest word for effort that
    it knows. `max_tokens`: of an answer; None if unknown.
    """

    prefill: bool = False
    sampling: bool = False
    thinking: Thinking = Thinking.UNKNOWN
    forced_tools: bool = True
    schema: bool = True
    system_inside: bool = False
    effort: bool = True
    most_effort: str = "max"
    max_tokens: int | None = 128_000

    @property
    def default_max_tokens(self) -> int:
        """The limit of an answer whose request sets none."""
        return UNKNOWN_MAX_TOKENS if self.max_tokens is None else min(self.max_tokens, DEFAULT_MAX_TOKENS)


_FAMILY: Final = re.compile(r"claude-(haiku|sonnet|opus|fable|mythos)-(\d{1,2})(?:-(\d{1,2}))?(?![\d])", re.IGNORECASE)

_BUDGET: Final = ClaudeModel(
    prefill=True, sampling=True, thinking=Thinking.BUDGET, effort=False, most_effort="high", max_tokens=64_000
)
_4_6: Final = ClaudeModel(sampling=True, thinking=Thinking.ADAPTIVE, most_effort="high")
_4_7: Final = ClaudeModel(thinking=Thinking.ADAPTIVE)
_4_8: Final = ClaudeModel(thinking=Thinking.ADAPTIVE, system_inside=True)
_ON: Final = ClaudeModel(thinking=Thinking.ON, system_inside=True)
_ALWAYS: Final = ClaudeModel(thinking=Thinking.ALWAYS, system_inside=True)
_UNFORCED: Final = ClaudeModel(thinking=Thinking.ALWAYS, system_inside=True, forced_tools=False)

#: Family, major and minor version -> the model. Retired: sonnet-4-5 on 30 Nov 2026, opus-4-5 on 22 Jan 2027.
_MODELS: Final[dict[tuple[str, int, int], ClaudeModel]] = {
    ("haiku", 4, 5): _BUDGET,
    ("sonnet", 4, 5): _BUDGET,
    ("opus", 4, 5): _BUDGET,
    ("sonnet", 4, 6): _4_6,
    ("opus", 4, 6): _4_6,
    ("opus", 4, 7): _4_7,
    ("opus", 4, 8): _4_8,
    ("sonnet", 5, 0): _ON,
    ("opus", 5, 0): _ON,
    ("haiku", 5, 5): _ON,
    ("sonnet", 5, 5): _UNFORCED,
    ("opus", 5, 5): _UNFORCED,
    ("fable", 5, 0): _ALWAYS,
    ("fable", 5, 1): _UNFORCED,
    ("fable", 5, 2): _ALWAYS,
    ("mythos", 5, 0): _ALWAYS,
    ("mythos", 5, 1): _UNFORCED,
    ("mythos", 5, 2): _ALWAYS,
}
#: Models of other makers at servers of the same format, DeepSeek's say, and those before 4.5: they are asked for nothing special.
_OTHERS: Final = ClaudeModel(
    sampling=True, thinking=Thinking.UNKNOWN, schema=False, effort=False, most_effort="high", max_tokens=None
)


def model_of(name: str) -> ClaudeModel:
    """Returns what is known of a model, by any name that Anthropic, Bedrock, Vertex or OpenRouter have for it."""
    found = _FAMILY.search(name.replace(".", "-").replace("@", "-"))
    if found is None:
        return _ALWAYS if "claude-mythos" in name.lower() else _OTHERS
    family, major, minor = found[1].lower(), int(found[2]), int(found[3] or 0)
    known = _MODELS.get((family, major, minor))
    if known is not None:
        return known
    return _OTHERS if (major, minor) < (4, 5) else _ALWAYS  # a newer one is taken to be as strict as the strictest
