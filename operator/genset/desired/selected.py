"""Consumers that teams bring themselves are Secrets which a policy selects by labels.

Their owners choose the names: so nobody gets one that is taken, or the limits, models and the place in the log would be
somebody else's. Whoever was there first keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from genset.api.access import ANONYMOUS, TEAM, Access
from genset.api.base import DNS_LABEL
from genset.desired.context import RoutePolicyContext
from genset.desired.secrets import UserSecret

MOST_SELECTED = 2000  # Secrets of one policy
_NAME_CHARACTERS = 63


class Selected(NamedTuple):
    """A selected consumer is a Secret; `fault` says why it is none after all, with the remedy."""

    secret: str
    name: str
    team: str
    content: bytes
    fault: str = ""


def selected(access: Access, context: RoutePolicyContext) -> list[Selected]:
    """Returns the Secrets that a policy selects, those that were there first before others."""
    if access.consumer_selector is None or context.listed is None:
        return []
    wanted = access.consumer_selector.match_labels
    found = [(name, secret) for name, secret in context.listed.items() if _matches(secret, wanted)]
    found.sort(key=lambda pair: (pair[1].marks.created, pair[0]))
    taken = {ANONYMOUS: "access", **{one.name: f"spec.access.consumers[{one.name}]" for one in access.consumers}}
    consumers: list[Selected] = []
    for name, secret in found:
        one = _selected(name, secret, taken)
        if not one.fault and len(consumers) >= MOST_SELECTED:
            one = one._replace(fault=f"there are more than {MOST_SELECTED} such Secrets: divide them among policies")
        if not one.fault:
            taken[one.name] = f"Secret {name}"
        consumers.append(one)
    return consumers


def _matches(secret: UserSecret, wanted: Mapping[str, str]) -> bool:
    return secret.holds_keys and all(secret.marks.labels.get(label) == value for label, value in wanted.items())


def _selected(secret: str, found: UserSecret, taken: Mapping[str, str]) -> Selected:
    name, team = found.marks.name or secret, found.marks.team
    content = b"\n".join(found.data[entry] for entry in sorted(found.data))
    return Selected(secret, name, team, content, found.why_no_keys("", secret) or _fault(name, team, taken))


def _fault(name: str, team: str, taken: Mapping[str, str]) -> str:
    if len(name) > _NAME_CHARACTERS or not re.fullmatch(DNS_LABEL, name):
        return f"is called {name[:64]!r}, which is no name of a consumer: write one of a-z, 0-9 and - as genset.dev/consumer-name"
    if team and (len(team) > _NAME_CHARACTERS or not re.fullmatch(TEAM, team)):
        return "has a genset.dev/consumer-team that is no name: write letters, digits, blanks and . _ / @ -, 63 at most"
    if name in taken:
        return f"is called {name}, as {taken[name]} is: give it another name as annotation genset.dev/consumer-name"
    return ""
