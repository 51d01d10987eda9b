"""A plan is narrowed by what one request says of data zones, and by what is found in it. Most requests do not come here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genset.data_zones import HOUSE, ZoneRule, told
from genset.router.dialects.client import NativeCall
from genset.router.errors import ErrorAnswer, error, unrecorded
from genset.router.exchange.record import Record
from genset.router.routing.table import Plan
from genset.router.routing.zones import ZONES_HEADER, asked_zones


def narrowed(
    plan: Plan, said: Callable[[], dict[str, Any]], record: Record, theirs: ZoneRule | None
) -> Plan | ErrorAnswer:
    """Returns the plan with what is left of its candidates, or the error if none is.

    `said` returns whatever may be sent of the request, in whichever API; `theirs` what the request's consumer may reach. What was
    found goes into the record by name.
    """
    record.route = plan.route.name  # also of a request that is refused here
    asked = asked_zones(record.headers.get(ZONES_HEADER))
    if isinstance(asked, ErrorAnswer):
        return asked
    rules = [rule for rule in (theirs, asked) if rule is not None]
    sensitive = plan.route.zones.sensitive
    found = sensitive.found(said()) if sensitive is not None else ()
    if not found or sensitive is None:
        return plan if not rules else plan.keep_in(rules) or plan
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
