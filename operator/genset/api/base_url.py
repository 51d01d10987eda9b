"""These are rules of fields that hold a base URL: what people paste into one is refused with what to write instead."""

from __future__ import annotations

from typing import Any

from genset.addresses import (
    API_PATH,
    AZURE,
    BASE_URL_MISTAKES,
    RESOURCE,
    WITH_API_PATH,
    WITH_QUERY,
    WITH_USER,
    Mistake,
    is_made,
    told,
)
from genset.api.base import CelRule


def base_url_rules(shown: str, *, optional: bool = False) -> tuple[CelRule, ...]:
    """Returns rules for a field, `shown` as OBJECT.FIELD: one for each mistake."""
    return tuple(_rule(shown, mistake, optional) for mistake in BASE_URL_MISTAKES)


def _rule(shown: str, mistake: Mistake, optional: bool) -> CelRule:
    name = shown.rpartition(".")[2]
    here = f"self.{name}"
    matches = f"{here}.matches(r'{mistake.pattern}')"
    expression = matches if mistake.wanted else f"!{matches}"
    return CelRule(
        f"!has({here}) || {expression}" if optional else expression,
        f"{shown} {mistake.remedy}",
        lambda model: (value := _value(model, name)) is None or not is_made(mistake, value),
        _telling(shown, mistake, here),
        lambda model: f"{shown} {told(mistake, _value(model, name) or '')}",
    )


def _value(model: Any, name: str) -> str | None:
    found = next(key for key, field in type(model).model_fields.items() if (field.alias or key) == name)
    value: str | None = getattr(model, found)
    return value


def _telling(shown: str, mistake: Mistake, here: str) -> str:
    """Returns the message in CEL, as `addresses.told` makes it; empty if no value changes it."""
    if mistake is WITH_QUERY:
        before, after = mistake.remedy.split(RESOURCE)
        host = f"{here}.matches(r'{AZURE}') ? {here}.find(r'{AZURE}') : '{RESOURCE}'"
        return f"'{shown} {before}' + ({host}) + '{after}'"
    if mistake is WITH_API_PATH:
        before, after = mistake.remedy.split(": write ")
        better = f"{here}.substring(0, {here}.size() - {here}.find(r'{API_PATH}').size())"
        return f"'{shown} {before}: write ' + ({here}.matches(r'{WITH_USER.pattern}') ? '{after}' : {better})"
    return ""
