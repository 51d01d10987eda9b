"""An unserved path is answered with what is wrong with it, in words that say what to change. Pure.

The most common mistake is a base URL that lacks /v1, has it twice, or is the whole URL of a call; the next is a client
of another API than the one that is served.
"""

from __future__ import annotations

import re
from typing import Final

_CALLS: Final = ("/chat/completions", "/completions", "/embeddings", "/rerank", "/models", "/messages", "/responses")
_CALL: Final = re.compile(r"/+(chat/+completions|completions|embeddings|rerank|messages|responses|models(/.*)?)/*")

#: How the paths of other APIs begin, and what these are called.
_OTHERS: Final = (
    (("/responses/",), "a stored response (this router keeps none: send the whole input with each request)"),
    (("/messages/batches", "/skills"), "Anthropic's batches and skills"),
    (("/audio/", "/images/", "/videos"), "this path for audio, images and video"),
    (("/reranking",), "reranking by this name"),
    (
        ("/files", "/uploads", "/batches", "/fine_tuning", "/fine-tuning", "/vector_stores", "/containers"),
        "what files, batches and stores keep at one provider (ask that provider itself)",
    ),
    (("/assistants", "/threads", "/conversations", "/evals"), "assistants and conversations"),
    (
        ("/realtime",),
        "the Realtime API, whose connections last (use chat with audio, or audio/speech and audio/transcriptions)",
    ),
    (("/infill", "/props", "/slots"), "an engine's own API"),
)
_OLLAMA: Final = ("/api/chat", "/api/generate", "/api/tags", "/api/embed", "/api/show", "/api/version", "/api/ps")
_POSTED: Final = (
    "chat/completions",
    "messages",
    "responses",
    "completions",
    "embeddings",
    "rerank",
    "score",
    "moderations",
    "audio/transcriptions",
    "audio/translations",
    "audio/speech",
    "images/generations",
    "images/edits",
)
_SERVED: Final = f"served are POST {', '.join(f'/v1/{call}' for call in _POSTED)} and GET /v1/models"


def what_is_wrong(path: str, base_url: str) -> str:
    """Returns the message of a 404. `base_url` is the one that this client should use."""
    tail = re.sub(r"^(/+v1)+(?=/|$)", "", path)
    for beginnings, name in _OTHERS:
        if tail.startswith(beginnings):
            return f"{name} is not served here; {_SERVED}"
    if path.startswith(_OLLAMA):
        return f"Ollama's own API is not served here; {_SERVED}"
    if re.match(r"/+v1(beta|alpha)", path) or ":generatecontent" in path.lower():
        return f"the Gemini API is not served here; {_SERVED}"
    if re.fullmatch(r"/v1(/chat/completions|/completions|/embeddings|/rerank|/messages|/responses|/models)/+", path):
        return f"this path ends with a slash; the base URL is {base_url}, and calls have none at their end"
    if path == "/" or any(call in path for call in _CALLS) or _CALL.search(path):
        return f"the base URL must end in /v1 and hold nothing behind it: use {base_url}"
    return f"this path is not served; {_SERVED}; the base URL is {base_url}"
