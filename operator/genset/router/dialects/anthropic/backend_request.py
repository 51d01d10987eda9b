"""Translates a request of OpenAI's chat into one of Anthropic's Messages API.

Fields that the API does not know are never passed on, because it refuses them. What only shapes the answer a little is left out
and named (`Asked.dropped`); what a client could not do without makes the request untranslatable, so that the next backend is
asked. Sources: the types of the anthropic package 2.14.0 and Anthropic's page on compatibility with OpenAI's SDK, read on 28 Nov
2026. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from genset.router.dialects.anthropic.backend_messages import Conversation
from genset.router.dialects.anthropic.backend_models import NEWEST, OLDER, ClaudeModel, Thinking, model_of
from genset.router.dialects.anthropic.backend_parts import Dropped, cache_control_of
from genset.router.dialects.anthropic.backend_schema import strict
from genset.router.dialects.anthropic.backend_tools import choice_of, is_forced, tools_of
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.seals import DISABLED

#: Fields that are read below, or mean nothing to a server of Anthropic's.
_READ: Final = frozenset((
    "model", "messages", "stream", "stream_options", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls",
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "response_format", "reasoning_effort",
    "reasoning", "user", "safety_identifier", "cache_control", "chat_template_kwargs",
    "thinking",
))  # fmt: skip
#: Fields that bind the answer to something that the API cannot give.
_BINDING: Final = (
    "audio", "grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
    "top_logprobs",
)  # fmt: skip
#: Values that ask for nothing besides the usual.
_USUAL: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "store": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "service_tier": ("auto", "default"),
    "min_tokens": (0,),
}
_EFFORTS: Final = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_BUDGETS: Final = {"low": 2_048, "medium": 8_192, "high": 24_576}
_LEAST_BUDGET: Final = 1_024  # tokens of thinking; the API takes no less
_SUMMARIZED: Final = "summarized"  # else newer models send nothing while they think


class Written(NamedTuple):
    """What a request became: the API's version, the body, and the fields that were left out."""

    version: str
    body: dict[str, Any]
    dropped: tuple[str, ...]


def translated(body: dict[str, Any]) -> Written:
    """Returns the request in Anthropic's form. `body` is OpenAI's, and is not changed. Raises Untranslatable."""
    dropped, model = Dropped(), model_of(str(body["model"]))
    given = {key: value for key, value in body.items() if value is not None}
    _look_at_the_rest(given, dropped)
    conversation = Conversation(model, dropped)
    conversation.read(given.get("messages"))
    tools, choice = choice_of(given, tools_of(given, dropped))
    if is_forced(choice) and not model.forced_tools:
        raise Untranslatable(f"tool_choice: {body['model']} cannot be forced to call a tool")
    made: dict[str, Any] = {
        "model": body["model"],
        "max_tokens": _max_tokens(given, model, dropped),
        "messages": conversation.messages,
    }
    if conversation.system:
        made["system"] = conversation.system
    if tools:
        made["tools"] = tools
    if choice is not None:
        made["tool_choice"] = choice
    form = _form(given, model)
    if conversation.ends_with_assistant:
        _refuse_prefill(body["model"], model, form)
        conversation.trim_beginning()
    off = is_forced(choice) or conversation.ends_with_assistant
    if model.thinking is Thinking.BUDGET:  # only these demand the thoughts of the calls whose results they get
        off = off or conversation.answers_unthought_calls()
    thinks = _think(made, given, model, dropped, off=off)
    if form is not None:
        made.setdefault("output_config", {})["format"] = form
    version = _sample(made, given, model, dropped, thinks=thinks)
    _stop(made, given, dropped)
    _user(made, given)
    mark = cache_control_of(given, dropped)
    if mark is not None:
        made["cache_control"] = mark
    if given.get("stream") is True:
        made["stream"] = True
    return Written(version, made, dropped.names())


def _look_at_the_rest(given: dict[str, Any], dropped: Dropped) -> None:
    """Refuses what the API cannot do, and notes what it does not know."""
    for key in _BINDING:
        if given.get(key):
            raise Untranslatable(f"{key}: Anthropic's API has nothing like it")
    modalities = given.pop("modalities", None)
    if modalities is not None and modalities != ["text"]:
        raise Untranslatable("modalities: Anthropic's API answers with text alone")
    for key in ("n", "best_of", "logprobs"):
        if key in given and given[key] != 0 and given[key] not in _USUAL[key]:
            raise Untranslatable(f"{key}: Anthropic's API gives one answer, without log probabilities")
    for key, value in given.items():
        if key not in _READ and key not in _BINDING and value not in _USUAL.get(key, ()):
            dropped.add(key)


def _max_tokens(given: dict[str, Any], model: ClaudeModel, dropped: Dropped) -> int:
    limits = [given[key] for key in ("max_tokens", "max_completion_tokens") if key in given]
    for limit in limits:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise Untranslatable("max_tokens is no number of tokens")
    if not limits:
        return model.default_max_tokens
    asked: int = min(limits)
    if model.max_tokens is not None and asked > model.max_tokens:
        dropped.add(f"max_tokens>{model.max_tokens}")
        return model.max_tokens
    return asked


def _form(given: dict[str, Any], model: ClaudeModel) -> dict[str, Any] | None:
    """Returns the form that the answer has to have; None for plain text."""
    form = given.get("response_format")
    if form is None or (isinstance(form, dict) and form.get("type") == "text"):
        return None
    held = form.get("json_schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    if not isinstance(held, dict) or not isinstance(held.get("schema"), dict):
        raise Untranslatable("response_format: Anthropic's API answers with text, or by a JSON schema")
    if not model.schema:
        raise Untranslatable(f"response_format: {given['model']} is not known to answer by a JSON schema")
    return {"type": "json_schema", "schema": strict(held["schema"], "response_format.json_schema.schema")}


def _refuse_prefill(name: str, model: ClaudeModel, form: dict[str, Any] | None) -> None:
    if not model.prefill:
        raise Untranslatable(f"messages: {name} does not go on from a last message of role assistant")
    if form is not None:
        raise Untranslatable(
            "messages: an answer by a JSON schema does not go on from a last message of role assistant"
        )


def _think(made: dict[str, Any], given: dict[str, Any], model: ClaudeModel, dropped: Dropped, *, off: bool) -> bool:
    """Says how much the model should think, and that its thoughts shall be told. Returns whether it will think.

    `off`: it must not, because a tool is forced, an answer has begun, or its calls have no thoughts of its own.
    """
    effort = _effort(given, dropped)
    kind, thinks = model.thinking, False
    if kind is Thinking.UNKNOWN:
        if effort == "none":
            made["thinking"] = DISABLED  # DeepSeek's think unless told not to
        elif effort:
            dropped.add("reasoning_effort")
    elif kind is Thinking.BUDGET:
        if effort not in ("", "none"):
            thinks = not off and _budget(made, effort)
            if not thinks:
                dropped.add("reasoning_effort")
    else:
        thinks = kind is Thinking.ALWAYS or (not off and effort != "none" and (kind is Thinking.ON or effort != ""))
        if thinks and effort == "none":
            dropped.add("reasoning_effort")
        if thinks and not off:
            made["thinking"] = {"type": "adaptive", "display": _SUMMARIZED}
        elif kind is Thinking.ON:
            made["thinking"] = {"type": "disabled"}
        if effort not in ("", "none") and model.effort:
            known = effort if effort not in ("xhigh", "max") or model.most_effort == "max" else model.most_effort
            made["output_config"] = {"effort": known}
    return thinks


def _effort(given: dict[str, Any], dropped: Dropped) -> str:
    """Returns the effort that is asked for, in Anthropic's words; "none" for no thinking, "" if nothing is said."""
    said = given.get("reasoning_effort")
    more = given.get("reasoning")
    if isinstance(more, dict):
        if said is None:
            said = "none" if more.get("enabled") is False else more.get("effort")
        if more.keys() - {"effort", "enabled", "exclude"}:
            dropped.add("reasoning")
    elif more is not None:
        dropped.add("reasoning")
    thinking = given.get("thinking")
    if thinking == DISABLED:
        said = "none"
    elif thinking is not None:
        dropped.add("thinking")
    switches = given.get("chat_template_kwargs")
    if isinstance(switches, dict) and switches:
        if said is None and switches.get("enable_thinking") is False:
            said = "none"
        if switches.keys() - {"enable_thinking"}:
            dropped.add("chat_template_kwargs")
    if said is None:
        return ""
    if said == "none":
        return "none"
    if not isinstance(said, str) or said not in _EFFORTS:
        raise Untranslatable(f"reasoning_effort: Anthropic's API knows no {str(said)[:64]}")
    return _EFFORTS[said]


def _budget(made: dict[str, Any], effort: str) -> bool:
    """Gives an older model tokens to think; they are a part of the answer's. Returns False if there are too few for that."""
    budget = min(_BUDGETS.get(effort, _BUDGETS["high"]), made["max_tokens"] // 2)
    if budget < _LEAST_BUDGET:
        return False
    made["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return True


def _sample(made: dict[str, Any], given: dict[str, Any], model: ClaudeModel, dropped: Dropped, *, thinks: bool) -> str:
    """Passes on what models take of temperature and the like. Returns the version of the API that takes it."""
    asked = [key for key in ("temperature", "top_p", "top_k") if key in given]
    version = OLDER if model.sampling else NEWEST  # Bedrock has the newest version for models without sampling alone
    if not model.sampling or thinks:
        for key in asked:
            dropped.add(key)
        return version
    for key in asked:
        value = given[key]
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise Untranslatable(f"{key} is no number that Anthropic's API takes")
        if key == "top_p" and "temperature" in made:
            dropped.add("top_p")  # the models of these versions take one of the two
        elif key == "temperature" and value > 1:
            dropped.add("temperature>1")
            made[key] = 1
        else:
            made[key] = value
    return version


def _stop(made: dict[str, Any], given: dict[str, Any], dropped: Dropped) -> None:
    stop = given.get("stop")
    if stop is None:
        return
    listed = stop if isinstance(stop, list) else [stop]
    if not all(isinstance(one, str) for one in listed):
        raise Untranslatable("stop is neither a text nor a list of texts")
    kept = [one for one in listed if one.strip()]
    if len(kept) < len(listed):
        dropped.add("stop")  # of white space alone, which the API refuses
    if kept:
        made["stop_sequences"] = kept


def _user(made: dict[str, Any], given: dict[str, Any]) -> None:
    """Tells users apart without naming them: the API refuses what looks like an address or a telephone number."""
    user = given.get("safety_identifier") or given.get("user")
    if isinstance(user, str) and user:
        made["metadata"] = {"user_id": hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()}
