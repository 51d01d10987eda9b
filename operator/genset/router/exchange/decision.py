"""A decision says who may have a request answered, and by whom: routers take it once per request, before anybody is asked.

`genset explain` takes the same one, and is told why each route and each backend is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from genset.router.dialects.client import NativeCall
from genset.router.errors import ErrorAnswer
from genset.router.exchange.narrowed import kept_in, narrowed, placed
from genset.router.exchange.record import Record
from genset.router.routing.plan import Plan
from genset.router.routing.table import LeftOut, Table
from genset.router.routing.zones import ZONES_HEADER

_GENERATING: Final = frozenset(("chat", "text_completion", "count_tokens"))  # operations whose requests have a task


def decide(
    table: Table,
    record: Record,
    parsed: dict[str, Any],
    needs: tuple[int, int, str],
    chance: Callable[[], float],
    native: NativeCall | None = None,
    left_out: list[LeftOut] | None = None,
    *,
    body: bytes = b"",
    form: bool = False,
    unrecorded: str = "",
    now: Callable[[], float],
) -> Plan | ErrorAnswer:
    """Returns the route with its candidates, or the error that the request gets: by who asks, what it needs, and where it may go.

    `record` says who asks, for which model, with which headers; `parsed` is the request in OpenAI's form. `needs`: tokens of
    the prompt and of the answer, and the task. `chance` is uniform in [0, 1). `left_out` gets a reason for each route and backend
    that is passed over; None: nobody wants to know. `body`: the bytes that `parsed` was read from, which may go on as they
    are; `form`: they are a form with a file, which nobody reads.
    `unrecorded`: why nothing that leaves the house can be written down, so that nothing may leave it; "" if it may.
    `now` tells the time of day, in seconds since 1970, to routes that ask for it.
    """
    headers, consumer = record.headers, record.consumer
    tokens, answer, task = needs
    may_name = consumer.models if consumer is not None else None
    shape = table.shape_of(parsed, tokens, now, generates=record.operation in _GENERATING)
    plan = table.plan(
        record.model,
        tokens,
        answer,
        headers,
        chance,
        task,
        parsed,
        native,
        may_name=may_name,
        left_out=left_out,
        shape=shape,
    )
    if isinstance(plan, ErrorAnswer):
        return plan
    theirs = consumer.zones if consumer is not None else None
    narrows = plan.route.zones.sensitive is not None or theirs is not None or ZONES_HEADER in headers
    places = native is not None and native.places
    if not narrows and not unrecorded and not places:
        return plan
    before, route = plan.candidates, plan.route.name
    found: Plan | ErrorAnswer = plan
    if narrows:
        found = narrowed(plan, record, parsed, native, body, form=form)
    if unrecorded and isinstance(found, Plan):
        found = kept_in(found, unrecorded)
    if native is not None and places and isinstance(found, Plan) and found.rules:
        found = placed(found, native, found.rules)
    if left_out is not None:
        kept = [] if isinstance(found, ErrorAnswer) else found.candidates
        what = f" ({', '.join(record.sensitive)} was found)" if record.sensitive else ""
        why = f"its data zone is outside of the request's{what}"
        left_out += [LeftOut(route, one.backend.name, f"{one.zone}: {why}") for one in before if one not in kept]
    return found
