"""What a rule of continuation is: how to ask, and how the answer joins the text so far. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from genset.router.continuation.seam import Seam

OFF: Final = "Off"

RequestBody = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`extend` changes a request (a shallow copy of the client's) so that its answer continues `text`.

    `seam` joins that answer to `text`; its second argument says that the server is one of the house, whose own file we
    know. `refusable`: a server may answer 4xx to this way of asking; then it is asked by the fallback.
    `surplus_tokens`: what the answer may spend on repeating.
    """

    name: str
    extend: Callable[[RequestBody, str], None]
    seam: Callable[[str, bool], Seam]
    refusable: bool = False
    surplus_tokens: int = 0


def with_answer(body: RequestBody, text: str, **more: Any) -> None:
    """Puts `text` at the end of the conversation as the assistant's own, joined to what the client had begun itself."""
    messages = list(body["messages"])
    if messages and messages[-1].get("role") == "assistant":
        last = messages.pop()
        text = (last.get("content") or "") + text
    body["messages"] = [*messages, {"role": "assistant", "content": text, **more}]


def without_thinking(body: RequestBody) -> None:
    """Thinking is over once there is text. Templates that think may refuse a begun answer (llama.cpp: "Assistant response
    prefill is incompatible with enable_thinking"), and parsers may take what follows for thoughts."""
    given = body.get("chat_template_kwargs")
    body["chat_template_kwargs"] = {**(given if isinstance(given, dict) else {}), "enable_thinking": False}
