"""What an answer has used is read here from the usage object that its provider tells, whichever form that has.

Each count is read as its provider means it: some count what was cached or thought beside the rest, others inside it. Afterwards
parts are always inside. Sources: the sheet of providers in docs/prices.md. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genset.pricing.money import told

_MOST_TOKENS: Final = 1 << 53  # beyond it a count is nonsense
_TICKS: Final = 100  # xAI's ticks, of which ten thousand million are a dollar
_DETAILS_IN: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details")
_DETAILS_OUT: Final = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_USUAL: Final = (None, "", "standard", "default", "auto", "global", "not_available")
_WAYS: Final = ("service_tier", "speed", "inference_geo")  # ways to be served, as Anthropic's usage tells them
_MOST_ITERATIONS: Final = 256  # of an answer
_FOREIGN: Final = ("fallback_message", "advisor_message")  # iterations of another model than the one that was asked
_NONE: Final[Mapping[str, Any]] = {}


class Used:
    """Used is how much of everything an answer has used.

    `prompt` counts all tokens of the prompt; of these, `cached` were read from a cache, `cache_write` written to one
    (`cache_write_hour` to be kept for an hour), `audio_in` sound. `completion` counts all that were made; of these, `reasoning`
    were thought, `audio_out` sound. `images` are pictures that were made, `searches` what is billed by search. `cost` is the
    provider's own figure in USD, counted as `pricing.money` does; None if it tells none. `special`: it was served in a way that
    has a price of its own (priority, fast, in one region), so that the list price is not
    its price. `untold`: nobody says how much was made. `foreign`: another model, whose price is not this one's, made a part.
    """

    __slots__ = (
        "audio_in", "audio_out", "cache_write", "cache_write_hour", "cached", "completion", "cost", "foreign", "images", "prompt",
        "reasoning", "searches", "special", "untold",
    )  # fmt: skip

    def __init__(self, prompt: int = 0, completion: int = 0, cached: int = 0, *, untold: bool = False) -> None:
        self.prompt = prompt
        self.completion = completion
        self.cached = min(cached, prompt)
        self.cache_write = 0
        self.cache_write_hour = 0
        self.reasoning = 0
        self.audio_in = 0
        self.audio_out = 0
        self.images = 0
        self.searches = 0
        self.cost: int | None = None
        self.special = False
        self.untold = untold
        self.foreign = False

    def counted(self, prompt: int, completion: int, *, untold: bool) -> None:
        """Takes what the router has counted itself: a prompt only if the provider told nothing of that."""
        self.prompt = self.prompt or prompt
        self.completion = completion
        self.untold = untold

    def pictures(self, count: int) -> None:
        """Takes how many pictures an answer holds."""
        self.images = count


def used_of(usage: Mapping[str, Any]) -> Used:
    """Returns what a usage object tells: OpenAI's chat or Responses, Anthropic's, or one of those who follow them."""
    given, made = _details(usage, _DETAILS_IN), _details(usage, _DETAILS_OUT)
    found = Used(
        _count(usage, "prompt_tokens") or _count(usage, "input_tokens"),
        _count(usage, "completion_tokens") or _count(usage, "output_tokens"),
    )
    found.cached = (
        _count(given, "cached_tokens")
        or _count(usage, "cached_tokens")  # Moonshot
        or _count(usage, "num_cached_tokens")  # Mistral
        or _count(usage, "prompt_cache_hit_tokens")  # DeepSeek; its misses are the rest
    )
    found.cache_write = _count(given, "cache_write_tokens")
    found.cache_write_hour = _count(_part(given, "cache_write_tokens_details"), "ttl_1h")
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    if read or written:
        if (
            "prompt_tokens" not in usage
        ):  # Anthropic counts them beside the rest; gateways that say it in both forms do not
            found.prompt += read + written
        found.cached, found.cache_write = read, written
        found.cache_write_hour = _count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens")
    found.reasoning = _count(made, "reasoning_tokens") or _count(made, "thinking_tokens")
    found.audio_in, found.audio_out = _count(given, "audio_tokens"), _count(made, "audio_tokens")
    _count_beside(found, _count(usage, "total_tokens"))
    iterations = usage.get("iterations")
    if isinstance(iterations, list):
        _count_iterations(found, iterations)
    _bound(found)
    tools = _part(usage, "server_tool_use")
    found.searches = _count(tools, "web_search_requests") or _count(usage, "search_units")
    found.special = bool(special_ways(usage))
    found.cost = _cost(usage)
    return found


def special_ways(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns in which ways that have a price of their own an answer was served."""
    return {way: usage[way] for way in _WAYS if usage.get(way) not in _USUAL}


def _count_beside(found: Used, total: int) -> None:
    """A total that is more than its parts counts something beside them.

    It may be thoughts: xAI tells how many those are, Gemini does not. Gateways before Anthropic leave out what was cached.
    """
    beside = total - found.prompt - found.completion
    if beside <= 0:
        return
    if not found.prompt and not found.completion:  # Jina tells nothing but the total
        found.prompt = total
    elif not found.reasoning and beside == found.cached + found.cache_write:
        found.prompt += beside
    elif found.reasoning in (0, beside):
        found.reasoning = beside
        found.completion += beside


def _count_iterations(found: Used, iterations: list[Any]) -> None:
    """Counts what Anthropic's usage has in none of its own numbers, compactions, and notes what another model has made."""
    for one in iterations[:_MOST_ITERATIONS]:
        if not isinstance(one, dict):
            continue
        kind = one.get("type")
        if kind == "compaction":
            read, written = _count(one, "cache_read_input_tokens"), _count(one, "cache_creation_input_tokens")
            found.prompt += _count(one, "input_tokens") + read + written
            found.cached += read
            found.cache_write += written
            found.cache_write_hour += _count(_part(one, "cache_creation"), "ephemeral_1h_input_tokens")
            found.completion += _count(one, "output_tokens")
        elif kind in _FOREIGN:
            found.foreign = True


def _bound(found: Used) -> None:
    """A part is never more than what it is a part of."""
    found.cached = min(found.cached, found.prompt)
    found.cache_write = min(found.cache_write, found.prompt - found.cached)
    found.cache_write_hour = min(found.cache_write_hour, found.cache_write)
    found.audio_in = min(found.audio_in, found.prompt)
    found.reasoning = min(found.reasoning, found.completion)
    found.audio_out = min(found.audio_out, found.completion)


def _cost(usage: Mapping[str, Any]) -> int | None:
    """Returns what the provider says that the answer costs: OpenRouter in dollars, xAI in ticks.

    With a key of one's own (BYOK) OpenRouter's `cost` is its fee alone, and the model's provider bills the rest.
    """
    ticks = usage.get("cost_in_usd_ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool) and 0 <= ticks < _MOST_TOKENS:
        return int(ticks) * _TICKS
    cost = told(usage.get("cost"))
    if cost is not None and usage.get("is_byok") is True:
        upstream = told(_part(usage, "cost_details").get("upstream_inference_cost"))
        return None if upstream is None else cost + upstream
    return cost


def _details(usage: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        found = usage.get(name)
        if isinstance(found, dict):
            return found
    return _NONE


def _part(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(name)
    return found if isinstance(found, dict) else _NONE


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST_TOKENS else 0
