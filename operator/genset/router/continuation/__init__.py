"""Continuation: another backend writes on from the text that the client already has.

`eligible` says which answers may be continued at all; one file per rule says how a backend is asked (failover.md's
CONTINUE b and c); `seam` joins the texts, `splice` the streams. Adding a rule is one file and one line here.
"""

from __future__ import annotations

from genset.router.continuation import anchor, append, final_message, prefill, prefix
from genset.router.continuation.base import OFF, Rule
from genset.router.continuation.eligible import why_not

RULES: dict[str, Rule] = {
    "Prefill": prefill.RULE,
    "ContinueFinalMessage": final_message.RULE,
    "Prefix": prefix.RULE,
    "Anchor": anchor.RULE,
}
#: Where a backend refuses its own rule, and where nobody knows better.
FALLBACK = "Anchor"
#: Of /v1/completions, where every server can: the prompt simply grows.
APPEND = append.RULE

__all__ = ["APPEND", "FALLBACK", "OFF", "RULES", "Rule", "why_not"]
