"""A call's seal is Gemini's signature on it, which has to come back with the call, or the next turn is refused.

OpenAI's form has a field for it (`extra_content`); Messages and Responses have none, and their clients send back of a call what
they know: its id, name and arguments. So the seal travels in the id, which nobody but this router reads, and is taken out again
when the call comes back. Source: ai.google.dev/gemini-api/docs/thought-signatures. Pure.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

FIELD: Final = "extra_content"  # of an entry of tool_calls
_JOINT: Final = "__sealed__"
_MOST_BYTES: Final = 64 * 1024  # of a seal: an id that is longer would be a burden to every later turn


def seal_in(entry: dict[str, Any]) -> str:
    """Returns the seal of a call in OpenAI's form; "" if it has none."""
    held = entry.get(FIELD)
    google = held.get("google") if isinstance(held, dict) else None
    seal = google.get("thought_signature") if isinstance(google, dict) else None
    return seal if isinstance(seal, str) else ""


def sealed_id(identity: str, seal: str) -> str:
    """Returns the id by which a client of another API knows a call. Ids have letters, digits, _ and - only (Anthropic)."""
    if not seal or len(seal) > _MOST_BYTES:
        return identity
    return f"{identity}{_JOINT}{base64.urlsafe_b64encode(seal.encode('utf-8', 'surrogatepass')).decode().rstrip('=')}"


def opened_id(identity: str) -> tuple[str, str]:
    """Returns the call's own id, and its seal; "" if the id holds none."""
    own, joint, held = identity.rpartition(_JOINT)
    if not joint or not own:
        return identity, ""
    try:
        return own, base64.urlsafe_b64decode(held + "=" * (-len(held) % 4)).decode()
    except (binascii.Error, ValueError):
        return identity, ""


def with_seal(call: dict[str, Any], seal: str) -> dict[str, Any]:
    """Returns a call in OpenAI's form with its seal."""
    return {**call, FIELD: {"google": {"thought_signature": seal}}} if seal else call
