"""vLLM and llama.cpp: `continue_final_message` with `add_generation_prompt: false`; both are needed, both true is a 400.

They stream only new text. Sources: vLLM vllm/entrypoints/openai/chat_completion/protocol.py; llama.cpp
tools/server/server-common.cpp.
"""

from __future__ import annotations

from genset.router.continuation.base import RequestBody, Rule, with_answer, without_thinking
from genset.router.continuation.seam import Echoed, Seam


def _extend(body: RequestBody, text: str) -> None:
    with_answer(body, text.rstrip())
    without_thinking(body)
    body["continue_final_message"] = True
    body["add_generation_prompt"] = False


def _seam(text: str, of_the_house: bool) -> Seam:
    return Echoed(text, exact=True)  # a server that does not know the switch starts over


RULE = Rule("ContinueFinalMessage", _extend, _seam, refusable=True)
