"""Continuation means that another backend writes on from the text that the client already has.

`eligible` says which answers may be continued at all; one file per rule says how a backend is asked (failover.md's
CONTINUE b and c), and `ask` asks it; `seam` joins the texts, and `splice` the streams. A new rule is one file and one line here.
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
#: The rule for a backend that refuses its own, or of which nobody knows better.
FALLBACK = "Anchor"
#: The rule of /v1/completions for every server: the prompt simply grows.
APPEND = append.RULE

__all__ = ["APPEND", "FALLBACK", "OFF", "RULES", "Rule", "why_not"]
