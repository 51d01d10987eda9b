"""A plan is narrowed by what one request says of data zones, and by what is found in it. Most requests do not come here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genset.data_zones import HOUSE, ZoneRule, told
from genset.router.dialects.client import NativeCall
from genset.router.dialects.repeated import UNREADABLE, said_in
from genset.router.errors import ErrorAnswer, error, unrecorded
from genset.router.exchange.record import Record
from genset.router.routing.plan import Plan
from genset.router.routing.zones import ZONES_HEADER, asked_zones


def narrowed(
    plan: Plan, record: Record, parsed: dict[str, Any], native: NativeCall | None, body: bytes, *, form: bool
) -> Plan | ErrorAnswer:
    """Returns the plan with what is left of its candidates, or the error if none is: by what the request's consumer may reach,
    by what its header says, and by what is found in it, which goes into the record by name.

    For `parsed` and the others see `decide`.
    """
    record.route = plan.route.name  # also of a request that is refused here
    rules: list[ZoneRule] = []
    if record.consumer is not None and record.consumer.zones is not None:
        rules.append(record.consumer.zones)
    if ZONES_HEADER in record.headers:
        asked = asked_zones(record.headers[ZONES_HEADER])
        if isinstance(asked, ErrorAnswer):
            return asked
        rules.append(asked)
    sensitive = plan.route.zones.sensitive
    found = sensitive.found(_said(parsed, native, body, form=form)) if sensitive is not None else ()
    if not found or sensitive is None:
        return plan.keep_in(rules) or plan
    record.sensitive = found
    kept = sensitive.zones(found)
    if isinstance(kept, ErrorAnswer):
        return kept
    refused = plan.keep_in([*rules, kept])
    if refused is None:
        return plan
    return sensitive.refusal(
        found, f"keeps it in the house (sensitive.then House), where nobody answers: {refused.message}"
    )


def _said(parsed: dict[str, Any], native: NativeCall | None, body: bytes, *, form: bool) -> dict[str, Any]:
    """Returns whatever may be sent of a request, in whichever API: sensitive content is looked for there."""
    if form:
        return UNREADABLE
    if native is not None:
        return native.said()
    return said_in(body, parsed) if body else parsed


def placed(plan: Plan, native: NativeCall, rules: Sequence[ZoneRule]) -> Plan | ErrorAnswer:
    """Returns the plan without clouds that would read in the request where to answer it: that is for the rules to say."""
    there = plan.candidates
    if plan.leave_out([one for one in there if not one.backend.local and one.backend.target.wire == native.wire]):
        return plan
    names = ", ".join(one.backend.name for one in there)
    return error(
        "policy_data_zone",
        f"the request's {native.places} says where {names} is to answer, but rules say which data zones may: {told(rules)}. "
        f"Nothing was sent; leave {native.places} out, or have the default of the provider's account set",
    )


def kept_in(plan: Plan, why: str) -> Plan | ErrorAnswer:
    """Returns the plan with backends of the house alone, because nothing that leaves it could be written down; see `why`."""
    if plan.keep_in([ZoneRule("egress.record Required", frozenset((HOUSE,)))]) is None:
        return plan
    return unrecorded(why)
