"""What a request is expected to use is read from it before anybody is asked, for the budgets that hold it."""

from __future__ import annotations

from typing import Any, Final

from genset.router.access.consumer import Consumer
from genset.router.budgets.budget_book import BudgetBook
from genset.router.budgets.purse import Expectation, Purse
from genset.router.dialects.openai.api import Api
from genset.router.http.request import Request
from genset.router.machine.answer_room import limit_of

_TEXT: Final = (Api.CHAT, Api.COMPLETIONS)
_MOST_CHOICES: Final = 128  # that any API takes


def purse_of(
    budgets: BudgetBook,
    route: str,
    consumer: Consumer | None,
    request: Request,
    parsed: dict[str, Any],
    tokens: int,
    api: Api,
) -> Purse | None:
    """Returns what a request may spend; None if no budget holds it. `tokens`: those of its prompt, as the router estimates."""
    name, team = (consumer.name, consumer.team) if consumer is not None else ("", "")
    if not budgets.holds(route, name, team):
        return None
    choices = parsed.get("n")
    several = choices if isinstance(choices, int) and 1 < choices <= _MOST_CHOICES else 1
    ask = Expectation(tokens, limit_of(parsed), several, len(request.body), chats=api in _TEXT)
    return budgets.purse(route, name, team, request.origin, ask)
