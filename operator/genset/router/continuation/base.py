"""Defines what a rule of continuation is: how a backend is asked, and how its answer joins the text so far. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from genset.router.continuation.seam import Seam

OFF: Final = "Off"

RequestBody = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A Rule is one way to ask a server to write on.

    `extend` changes a request, a shallow copy of the client's, so that its answer continues a text. `seam` makes what joins that
    answer to the text; its second argument says that the server is one of the house, so that we know its ways. `refusable`: a
    server may answer 4xx to this way of asking, and is then asked by the fallback. `surplus_tokens`: what the answer may spend
    on repeating.
    """

    name: str
    extend: Callable[[RequestBody, str], None]
    seam: Callable[[str, bool], Seam]
    refusable: bool = False
    surplus_tokens: int = 0


def with_answer(body: RequestBody, text: str, **more: Any) -> None:
    """Puts `text` at the end of the conversation as the assistant's own, behind what the client had begun of it."""
    messages = list(body["messages"])
    if messages and messages[-1].get("role") == "assistant":
        last = messages.pop()
        text = (last.get("content") or "") + text
    body["messages"] = [*messages, {"role": "assistant", "content": text, **more}]


def without_thinking(body: RequestBody) -> None:
    """Switches thinking off, which is over once there is text.

    Templates that think may refuse an answer that has begun (llama.cpp: "Assistant response prefill is incompatible with
    enable_thinking"), and parsers may take what follows for thoughts.
    """
    given = body.get("chat_template_kwargs")
    body["chat_template_kwargs"] = {**(given if isinstance(given, dict) else {}), "enable_thinking": False}
